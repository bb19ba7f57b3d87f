import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import type { Json, JsonObject } from "../../engine/sdk.ts";
import { externalVlm } from "../../nodes/external-vlm.ts";
import type { ImageText } from "../../nodes/formats.ts";
import { readMetrics, readPairs, readTable, writePairs } from "../../nodes/records.ts";
import { chatServers, complete, refuse, type ChatRequest } from "../rig/chat-server.ts";
import { pictureWorld, type PictureWorld } from "../rig/picture-world.ts";
import { runNode, type NodeRunOptions } from "../rig/run-node.ts";

let world: PictureWorld;
let pairs: ImageText[];
beforeAll(async () => {
  world = await pictureWorld();
  pairs = await readPairs(world.pairs);
});

async function ask(params: JsonObject, options: NodeRunOptions = {}) {
  const run = await runNode(externalVlm, {
    folder: world.folder,
    ...options,
    params,
    inputs: { pairs: world.pairs },
  });
  return {
    ...run,
    pairs: await readPairs(run.outputs["pairs"]!),
    report: await readTable(run.outputs["report"]!),
    metrics: await readMetrics(run.outputs["metrics"]!),
  };
}

describe("openai", () => {
  interface Body {
    readonly messages: readonly [
      { readonly content: readonly [{ text: string }, { image_url: { url: string } }] },
    ];
    readonly seed: number;
  }
  const serve = chatServers<Body>();
  const usage = { prompt_tokens: 50, completion_tokens: 7 };
  const imageOf = ({ body }: ChatRequest<Body>): Buffer =>
    Buffer.from(body.messages[0].content[1].image_url.url.replace("data:image/png;base64,", ""), "base64");

  it("sends each image with the prompt, and has the answers as captions", async () => {
    const { requests, params } = await serve((_, response, count) =>
      complete(response, `<think>hm</think>\n an  answer\n${count}`, usage),
    );
    const {
      pairs: answered,
      metrics,
      report,
    } = await ask(
      { ...params, apiKey: "TEST_KEY", concurrency: 1, imageSide: 16 },
      { env: { TEST_KEY: "s3cret" }, seed: 5 },
    );
    expect(requests).toHaveLength(14);
    expect(requests[0]?.headers.authorization).toBe("Bearer s3cret");
    expect(requests[0]?.body.seed).toBe(5);
    expect(requests[0]?.body.messages[0].content[0].text).toBe(
      "what is the content of this radiology image?",
    );
    expect(await sharp(imageOf(requests[0]!)).metadata()).toMatchObject({
      width: 16,
      height: 16,
      channels: 3,
    });
    expect(answered.map(({ id, image }) => ({ id, image }))).toEqual(
      pairs.map(({ id, image }) => ({ id, image })),
    );
    expect(answered.every(({ caption }) => /^an answer \d+$/.test(caption))).toBe(true);
    expect(metrics).toMatchObject({
      vlm: "openai (test-model)",
      items: 14,
      answered: 14,
      failed: 0,
      promptTokens: 700,
      completionTokens: 98,
    });
    expect(report[0]).toMatchObject({ attempts: 1, failed: null, by: "openai (test-model)" });
  });

  it("loses items and never the step; asks for them alone the next time", async () => {
    let up = false;
    const { requests, params } = await serve((_, response, count) => {
      if (up || count % 7 === 0) complete(response, "fine", usage);
      else if (count % 7 === 1) refuse(response, 429);
      else if (count % 7 === 2) refuse(response, 500);
      else if (count % 7 === 3) response.end("<html>nonsense</html>");
      else if (count % 7 === 4) response.destroy();
      else complete(response, "fine", usage);
    });
    const memo = new Map<string, Json>();
    const options = { ...params, concurrency: 1 };
    const first = await ask(options, { memo });
    expect(first.metrics).toMatchObject({ items: 14, answered: 6, failed: 8 });
    expect(first.pairs).toHaveLength(6);
    const reasons = new Set(first.report.map(({ failed }) => failed));
    expect(reasons).toEqual(
      new Set([
        null,
        "no answer: rate limit or quota",
        "no answer: status 500",
        "no answer: not a chat completion",
        "no answer: the server cannot be reached",
      ]),
    );
    expect(first.logs.join("\n")).toMatch(
      /8 of 14 items have no answer and are left out: .*2 x no answer: rate limit or quota/,
    );
    expect(first.provenance["lacks"]).toMatchObject({
      what: expect.stringContaining("8 of 14"),
      passing: 8,
    });
    up = true;
    requests.length = 0;
    const second = await ask(options, { memo });
    expect(requests).toHaveLength(8);
    expect(second.metrics).toMatchObject({ answered: 14, failed: 0 });
    await ask(options, { memo });
    expect(requests).toHaveLength(8);
  });

  it("survives a server that is slow or down, and does not wait for it for every item", async () => {
    const { requests, params } = await serve(() => {});
    const slow = await ask({ ...params, timeoutSeconds: 0.1, concurrency: 1, giveUpAfter: 2 });
    expect(slow.metrics).toMatchObject({ answered: 0, failed: 14 });
    expect(slow.report[13]).toMatchObject({ failed: "no answer: timeout", answer: null });
    // A client that was held up gives up before the server hears of it.
    expect(requests.length).toBeLessThanOrEqual(2);
    await expect(ask({ ...params, timeoutSeconds: 0.1, onFail: "fail" })).rejects.toThrow(
      "did not answer within",
    );
  });

  it("asks again where an answer is empty, with the next seed, and keeps that there is none", async () => {
    const { requests, params } = await serve((_, response) => complete(response, null, usage));
    const memo = new Map<string, Json>();
    const { metrics, report } = await ask({ ...params, retries: 1, concurrency: 1 }, { memo });
    expect(metrics).toMatchObject({ answered: 0, failed: 14 });
    expect(report[0]).toMatchObject({ failed: "empty answer", attempts: 2 });
    expect(requests.slice(0, 2).map(({ body }) => body.seed)).toEqual([7, 8]);
    requests.length = 0;
    await ask({ ...params, retries: 1, concurrency: 1 }, { memo });
    expect(requests).toHaveLength(0);
  });

  it("ends where the key is refused or the model unknown", async () => {
    for (const [status, message] of [
      [401, "refuses access"],
      [404, 'does not know the model "test-model"'],
    ] as const) {
      const { params } = await serve((_, response) => refuse(response, status));
      await expect(ask(params)).rejects.toThrow(message);
    }
  });

  it("works in shares, whose answers the whole step finds", async () => {
    const { requests, params } = await serve((_, response) => complete(response, "fine", usage));
    const memo = new Map<string, Json>();
    for (const index of [0, 1]) {
      await runNode(externalVlm, {
        folder: world.folder,
        params,
        inputs: { pairs: world.pairs },
        memo,
        shard: { index, count: 2 },
      });
    }
    expect(requests).toHaveLength(14);
    expect((await ask(params, { memo })).metrics).toMatchObject({ answered: 14 });
    expect(requests).toHaveLength(14);
  });
});

describe("replay", () => {
  async function record(lines: readonly (JsonObject | string)[]): Promise<string> {
    const folder = await mkdtemp(join(world.folder, "replay-"));
    const path = join(folder, "answers.jsonl");
    await writeFile(
      path,
      lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"),
    );
    return path;
  }

  it("has recorded captions, leaves out the rest, and tells of lines that make no sense", async () => {
    const replay = await record([
      { id: "p1", text: " one\n line " },
      { id: "p2", text: "" },
      "{cut",
      { id: "p0", text: "zero" },
    ]);
    const { pairs: answered, logs, metrics, report } = await ask({ backend: "replay", replay });
    expect(answered.map(({ id, caption }) => [id, caption])).toEqual([
      ["p0", "zero"],
      ["p1", "one line"],
    ]);
    expect(metrics).toMatchObject({ answered: 2, failed: 12 });
    expect(report[2]).toMatchObject({ failed: "empty answer" });
    expect(report[3]).toMatchObject({ failed: "not recorded" });
    expect(logs.join("\n")).toContain("answers.jsonl:3 is no answer");
    await expect(ask({ backend: "replay", replay, onFail: "fail" })).rejects.toThrow(
      /no answer about p\d+: (not recorded|empty answer)/,
    );
  });

  it("has recorded images in place of the clean ones", async () => {
    const replay = await record([
      { id: "p0", image: "drawn/new.png" },
      { id: "p1", image: "drawn/broken.png" },
      { id: "p2", text: "no image" },
    ]);
    const folder = join(replay, "..", "drawn");
    const png = await sharp({ create: { width: 9, height: 9, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    await mkdir(folder);
    await writeFile(join(folder, "new.png"), png);
    await writeFile(join(folder, "broken.png"), "no picture");
    const { pairs: answered, report } = await ask({ backend: "replay", produce: "image", replay });
    expect(answered.map(({ id, caption, image }) => [id, caption, image.size])).toEqual([
      ["p0", pairs[0]!.caption, png.length],
    ]);
    expect(report[1]).toMatchObject({ failed: "no image that can be read" });
    const outside = await record([{ id: "p0", image: "../x.png" }]);
    await expect(ask({ backend: "replay", produce: "image", replay: outside })).rejects.toThrow(
      "does not lie below",
    );
  });
});

describe("command", () => {
  /** A program in node, which every machine that runs the tests has. */
  async function program(source: string): Promise<JsonObject> {
    const folder = await mkdtemp(join(world.folder, "program-"));
    await writeFile(
      join(folder, "answer.mjs"),
      `import { readFileSync, appendFileSync, writeFileSync, existsSync } from "node:fs";
const [items, answers, seed] = process.argv.slice(2);
const lines = readFileSync(items, "utf8").trim().split("\\n").map((line) => JSON.parse(line));
const answer = (record) => appendFileSync(answers, JSON.stringify(record) + "\\n");
${source}`,
    );
    const command = [process.execPath, "answer.mjs", "{items}", "{answers}", "{seed}"];
    return { backend: "command", command, files: ["answer.mjs"], folder };
  }

  it("is started once, and answers about images that it finds by their paths", async () => {
    const params = await program(
      "for (const { id, image, prompt } of lines) answer({ id, text: `${prompt} ${readFileSync(image).length} ${seed} of ${lines.length}` });",
    );
    const memo = new Map<string, Json>();
    const { pairs: answered, metrics } = await ask({ ...params, prompt: "what?" }, { memo, seed: 3 });
    expect(answered.map(({ caption }) => caption)).toEqual(
      pairs.map(({ image }) => `what? ${image.size} 3 of 14`),
    );
    expect(metrics).toMatchObject({ answered: 14, failed: 0 });
    const inParts = await ask({ ...params, prompt: "what?", itemsPerStart: 5 }, { seed: 3 });
    expect(new Set(inParts.pairs.map(({ caption }) => caption.slice(-5)))).toEqual(
      new Set([" of 5", " of 4"]),
    );
  });

  it("draws images from captions", async () => {
    const params = await program(
      "for (const { id, image } of lines.filter((line) => /^p[012]$/.test(line.id))) { writeFileSync(`${id}.png`, readFileSync(image)); answer({ id, image: `${process.cwd()}/${id}.png` }); }",
    );
    const { pairs: answered, metrics } = await ask({ ...params, produce: "image" });
    expect(answered).toEqual(pairs.slice(0, 3));
    expect(metrics).toMatchObject({ answered: 3, failed: 11 });
  });

  it("counts what it answered before it failed, and asks for the rest the next time", async () => {
    const marker = join(await mkdtemp(join(world.folder, "marker-")), "there");
    const params = await program(
      `for (const { id } of existsSync(${JSON.stringify(marker)}) ? lines : lines.slice(0, 4)) answer({ id, text: String(lines.length) });
if (!existsSync(${JSON.stringify(marker)})) { appendFileSync(answers, '{"id": "p9", "te'); console.error("out of memory"); process.exit(3); }`,
    );
    const memo = new Map<string, Json>();
    const first = await ask(params, { memo });
    expect(first.metrics).toMatchObject({ answered: 4, failed: 10 });
    expect(first.report.filter(({ failed }) => failed === "the program failed")).toHaveLength(10);
    expect(first.logs.join("\n")).toMatch(/exited with code 3: out of memory/);
    await writeFile(marker, "");
    const second = await ask(params, { memo });
    expect(second.metrics).toMatchObject({ answered: 14, failed: 0 });
    expect(second.pairs.filter(({ caption }) => caption === "10")).toHaveLength(10);
  });

  it("is asked again about an image that comes with another caption", async () => {
    const params = await program(
      "for (const { id, caption } of lines) answer({ id, text: `saw ${caption}` });",
    );
    const memo = new Map<string, Json>();
    await ask(params, { memo });
    const other = pairs.map((pair) => ({ ...pair, caption: `not ${pair.caption}` }));
    const path = join(await mkdtemp(join(world.folder, "other-")), "pairs.jsonl");
    await writePairs(path, other);
    const { outputs } = await runNode(externalVlm, {
      folder: world.folder,
      params,
      inputs: { pairs: path },
      memo,
    });
    expect((await readPairs(outputs["pairs"]!)).map(({ caption }) => caption)).toEqual(
      other.map(({ caption }) => `saw ${caption}`),
    );
  });

  it("that fails for an item has its other answers kept, also where that ends the step", async () => {
    const marker = join(await mkdtemp(join(world.folder, "marker-")), "there");
    const params = await program(
      `for (const { id } of lines) if (id !== "p7" || existsSync(${JSON.stringify(marker)})) answer({ id, text: String(lines.length) });`,
    );
    const memo = new Map<string, Json>();
    await expect(ask({ ...params, onFail: "fail" }, { memo })).rejects.toThrow("p7");
    await writeFile(marker, "");
    const { pairs: answered } = await ask({ ...params, onFail: "fail" }, { memo });
    expect(answered.map(({ caption }) => caption)).toEqual(pairs.map(({ id }) => (id === "p7" ? "1" : "14")));
  });

  it("has to be there", async () => {
    const params = await program("");
    await expect(
      ask({ ...params, command: ["no-such-program-at-all", "{items}", "{answers}"] }),
    ).rejects.toThrow("there is no program `no-such-program-at-all`");
  });
});

describe("parameters", () => {
  const check = (params: JsonObject): string | undefined =>
    (externalVlm.check as (params: unknown) => string | undefined)(externalVlm.params.parse(params));

  it.each([
    [{ backend: "openai", baseUrl: "http://x/v1" }, "needs model"],
    [{ backend: "openai", model: "m", baseUrl: "http://x/v1", produce: "image" }, "gives captions only"],
    [{ backend: "command" }, "needs command"],
    [{ backend: "command", command: ["x", "{items}"] }, "does not mention {answers}"],
    [{ backend: "command", command: ["x", "{items}", "{answers}"], files: ["../x"] }, "does not lie below"],
    [{ backend: "replay" }, "needs replay"],
  ])("%o: %s", (params, problem) => {
    expect(check(params)).toContain(problem);
  });

  it("are fine where they say who answers", () => {
    expect(check({ backend: "openai", model: "m", baseUrl: "http://x/v1" })).toBeUndefined();
    expect(check({ backend: "command", command: ["x", "{items}", "{answers}"] })).toBeUndefined();
    expect(check({ backend: "replay", replay: "x" })).toBeUndefined();
  });
});
