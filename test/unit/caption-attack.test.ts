import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Digest, Json, JsonObject } from "../../engine/sdk.ts";
import { attackCaptionLlm } from "../../nodes/attack-caption-llm.ts";
import { noiseOrder, noisyCount } from "../../nodes/noise-order.ts";
import { readMetrics, readPairs, readTable, writePairs } from "../../nodes/records.ts";
import { chatServers, complete, refuse, type ChatRequest } from "../rig/chat-server.ts";
import { runNode, type NodeRunOptions } from "../rig/run-node.ts";

const captions = [
  "Chest X-ray showing a large left pleural effusion.",
  "Axial CT of the abdomen with multiple hepatic lesions (arrow).",
  "Normal heart size, no pneumothorax.",
  "LEFT UPPER LOBE nodule",
  "Severe cardiomegaly; increased pulmonary vascularity",
  "MRI of the right knee demonstrates mild edema",
  "Panoramic radiograph of the patient",
  "Chest X-ray showing a large left pleural effusion.",
];
const pairs = captions.map((caption, i) => ({
  id: `p${i}`,
  image: { digest: `sha256:${String(i).repeat(64)}` as Digest, size: i },
  caption,
}));

let folder: string;
let input: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-captions-"));
  input = join(folder, "pairs");
  await writePairs(input, pairs);
});

async function attack(params: JsonObject = {}, options: NodeRunOptions = {}) {
  const run = await runNode(attackCaptionLlm, { ...options, params, inputs: { pairs: input } });
  return {
    ...run,
    rewritten: await readPairs(run.outputs["pairs"] ?? ""),
    report: await readTable(run.outputs["report"] ?? ""),
    metrics: await readMetrics(run.outputs["metrics"] ?? ""),
  };
}

describe("rules", () => {
  it("change every caption, within the limit, and keep everything else of the pair", async () => {
    const { rewritten, report, metrics } = await attack();
    expect(rewritten.map(({ id, image }) => ({ id, image }))).toEqual(
      pairs.map(({ id, image }) => ({ id, image })),
    );
    for (const [index, { caption }] of rewritten.entries()) expect(caption).not.toBe(captions[index]);
    for (const { wmr } of report) {
      expect(wmr).toBeGreaterThan(0);
      expect(wmr).toBeLessThanOrEqual(0.5);
    }
    expect(metrics).toMatchObject({ pairs: 8, attacked: 8, rewritten: 8, fallbacks: 0, kept: 0 });
  });

  it("keep case and punctuation, and turn words into their opposites", async () => {
    const { rewritten } = await attack({ maxWmr: 1 });
    const byId = new Map(rewritten.map(({ id, caption }) => [id, caption]));
    expect(byId.get("p2")).toMatch(/^Abnormal [a-z]+ size, marked [a-z]+\.$/);
    expect(byId.get("p3")).toMatch(/^RIGHT LOWER SEGMENT (cyst|defect)$/);
    expect(byId.get("p5")).toMatch(/^MRI of the left (hip|shoulder|elbow|ankle|wrist) lacks severe [a-z]+$/);
    expect(byId.get("p6")).toBe("No panoramic radiograph of the patient");
  });

  it("are the same for the same seed and caption, and differ between seeds", async () => {
    const [one, again, other] = await Promise.all([
      attack({}, { seed: 1 }),
      attack({}, { seed: 1 }),
      attack({}, { seed: 2 }),
    ]);
    expect(again.rewritten).toEqual(one.rewritten);
    expect(other.rewritten).not.toEqual(one.rewritten);
    expect(one.rewritten[0]?.caption).toBe(one.rewritten[7]?.caption);
  });

  it("are labelled as the stand-in in report, metrics, log and provenance", async () => {
    const { report, metrics, logs, provenance } = await attack();
    const label = "rules (offline stand-in, no language model)";
    expect(new Set(report.map(({ by }) => by))).toEqual(new Set([label]));
    expect(metrics["backend"]).toBe(label);
    expect(logs.join("\n")).toContain(label);
    expect(provenance).toEqual({ captionBackend: label, items: { made: 7, fromMemo: 0 } });
  });

  it("rewrite the share that noise.mix will ask for, in dataset order", async () => {
    const ids = pairs.map(({ id }) => id);
    for (const percent of [0, 25, 50]) {
      const { rewritten } = await attack({ percent }, { seed: 5 });
      const first = new Set(noiseOrder(ids, 5).slice(0, noisyCount(ids.length, percent)));
      expect(rewritten.map(({ id }) => id)).toEqual(ids.filter((id) => first.has(id)));
    }
  });

  it("keep a clean caption where even one change is too many, and say so", async () => {
    const { report, metrics, logs } = await attack({ maxWmr: 0.15 });
    expect(report.find(({ id }) => id === "p3")).toMatchObject({ by: "kept", wmr: 0, rewrite: captions[3] });
    expect(metrics["kept"]).toBeGreaterThan(0);
    expect(logs.at(-1)).toContain("kept their clean caption");
  });
});

describe("replay", () => {
  async function record(lines: readonly unknown[]): Promise<string> {
    const file = join(await mkdtemp(join(folder, "replay-")), "answers.jsonl");
    await writeFile(
      file,
      lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\r\n"),
    );
    return file;
  }

  it("takes recorded rewrites, rejects bad ones in favour of the next, and falls back", async () => {
    const replay = await record([
      { caption: captions[0], rewrite: captions[0] },
      { caption: captions[0], rewrite: `"Chest X-ray showing a small right pleural effusion."` },
      { caption: captions[3], rewrite: "something else altogether, much longer" },
    ]);
    const { report, metrics } = await attack({ backend: "replay", replay });
    expect(report[0]).toMatchObject({
      rewrite: "Chest X-ray showing a small right pleural effusion.",
      by: "replay",
      attempts: 2,
      rejected: null,
      wmr: 2 / 8,
    });
    expect(report[3]).toMatchObject({
      by: expect.stringContaining("rules"),
      rejected: expect.stringContaining("ratio"),
    });
    expect(report[1]).toMatchObject({ rejected: "no answer" });
    expect(metrics).toMatchObject({ rewritten: 2, fallbacks: 6, kept: 0 });
  });

  it("keeps the clean caption or fails where told so", async () => {
    const replay = await record([]);
    const { rewritten, metrics } = await attack({ backend: "replay", replay, onFail: "clean" });
    expect(rewritten).toEqual(pairs);
    expect(metrics).toMatchObject({ rewritten: 0, kept: 8, meanWmr: null });
    await expect(attack({ backend: "replay", replay, onFail: "fail" })).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringMatching(/^no rewrite of ".*" was accepted: no answer$/),
    });
  });

  it("names the line that is no record", async () => {
    const replay = await record([{ caption: "a", rewrite: "b" }, "{broken"]);
    await expect(attack({ backend: "replay", replay })).rejects.toThrow(
      "answers.jsonl:2 is no recorded rewrite",
    );
  });
});

describe("openai", () => {
  interface Body {
    readonly messages: readonly { content: string }[];
    readonly seed: number;
    readonly model: string;
    readonly temperature: number;
    readonly max_tokens: number;
  }
  const serve = chatServers<Body>();
  const captionOf = ({ body }: ChatRequest<Body>): string =>
    /image is: "(.*)"\.$/m.exec(body.messages[0]?.content ?? "")?.[1] ?? "";

  it("asks once per distinct caption, with the settings, and cleans what a model says around the caption", async () => {
    const { requests, params } = await serve((request, response) =>
      complete(
        response,
        `Here is the new caption:\n\n"${captionOf(request).replace(/\S+$/, "changed")}"\n\nNote: done.`,
      ),
    );
    const { rewritten, report } = await attack(
      { ...params, apiKey: "TEST_KEY", temperature: 0.5, maxTokens: 99 },
      { seed: 11, env: { TEST_KEY: "s3cret" } },
    );
    expect(requests).toHaveLength(7);
    expect(requests[0]?.headers.authorization).toBe("Bearer s3cret");
    expect(requests[0]?.body).toMatchObject({
      model: "test-model",
      temperature: 0.5,
      max_tokens: 99,
      seed: 11,
    });
    expect(rewritten[0]?.caption).toBe("Chest X-ray showing a large left pleural changed");
    expect(new Set(report.map(({ by }) => by))).toEqual(new Set(["openai (test-model)"]));
  });

  it("asks again with the next seed where an answer is rejected, and falls back in the end", async () => {
    const { requests, params } = await serve((request, response) =>
      complete(
        response,
        captionOf(request).startsWith("MRI") && request.body.seed === 9
          ? "MRI of the left knee demonstrates mild edema"
          : " ",
      ),
    );
    const { report } = await attack({ ...params, retries: 2 }, { seed: 7 });
    expect(report[5]).toMatchObject({ attempts: 3, by: "openai (test-model)", wmr: 1 / 8 });
    expect(report[0]).toMatchObject({ attempts: 3, rejected: "empty", by: expect.stringContaining("rules") });
    const seeds = requests
      .filter((request) => captionOf(request).startsWith("MRI"))
      .map(({ body }) => body.seed);
    expect(seeds).toEqual([7, 8, 9]);
  });

  it("waits out a rate limit and goes on", async () => {
    const { requests, params } = await serve((request, response, count) =>
      count <= 3
        ? refuse(response, 429, { "retry-after-ms": "5" })
        : complete(response, captionOf(request).replace(/^\S+/, "Changed")),
    );
    const { metrics } = await attack({ ...params, requestRetries: 4, concurrency: 1 });
    expect(metrics).toMatchObject({ rewritten: 8, fallbacks: 0 });
    expect(requests).toHaveLength(10);
  });

  it.each([
    [429, /limits the rate/, /concurrency/, true],
    [401, /refuses access: .*status 401 it is/, /apiKey/, false],
    [404, /does not know the model "test-model"/, /model and baseUrl/, false],
    [500, /fails with status 500/, /server's own log/, true],
    [400, /fails with status 400/, /does not take the request/, false],
  ])("explains status %i", async (status, message, hint, transient) => {
    const { params } = await serve((_, response) => refuse(response, status));
    await expect(attack({ ...params, onFail: "fail" })).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
      transient,
    });
  });

  it("explains a server that answers something else", async () => {
    const html = await serve((_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      response.end("<html>welcome</html>");
    });
    await expect(attack({ ...html.params, onFail: "fail" })).rejects.toThrow(
      /something else than a chat completion: <html>/,
    );
    const broken = await serve((_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end('{"choices": [');
    });
    await expect(attack({ ...broken.params, onFail: "fail" })).rejects.toThrow(/not JSON/);
    const empty = await serve((_, response) => complete(response, undefined));
    await expect(attack({ ...empty.params, onFail: "fail" })).rejects.toThrow(
      /something else than a chat completion/,
    );
  });

  it.each([
    [429, "no answer: rate limit or quota"],
    [503, "no answer: status 503"],
    [400, "no answer: status 400"],
  ])(
    "loses captions, and not the step, to status %i; they are counted and asked again",
    async (status, reason) => {
      let up = false;
      const { requests, params } = await serve((request, response) =>
        up || captionOf(request).startsWith("MRI")
          ? complete(response, captionOf(request).replace(/^\S+/, "Changed"))
          : refuse(response, status),
      );
      const memo = new Map<string, Json>();
      const first = await attack({ ...params, onFail: "clean" }, { memo });
      expect(first.metrics).toMatchObject({ rewritten: 1, kept: 7, unanswered: 7 });
      expect(first.report[0]).toMatchObject({ by: "kept", rejected: reason, attempts: 1 });
      expect(first.logs.join("\n")).toContain(`7 of 8 captions got no answer: 7 x ${reason}`);
      up = true;
      requests.length = 0;
      const second = await attack({ ...params, onFail: "clean" }, { memo });
      expect(second.metrics).toMatchObject({ rewritten: 8, kept: 0, unanswered: 0 });
      expect(requests.some((request) => captionOf(request).startsWith("MRI"))).toBe(false);
    },
  );

  it("stops asking a server that fails again and again", async () => {
    const { requests, params } = await serve((_, response) => refuse(response, 500));
    const { metrics, report } = await attack({ ...params, concurrency: 1, giveUpAfter: 3 });
    expect(requests).toHaveLength(3);
    expect(metrics).toMatchObject({ unanswered: 8, fallbacks: 8, promptTokens: 0 });
    expect(new Set(report.map(({ rejected }) => rejected))).toEqual(new Set(["no answer: status 500"]));
  });

  it("counts the tokens that answers cost, those from the memo as well", async () => {
    const { requests, params } = await serve((request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const content = captionOf(request).replace(/^\S+/, "Changed");
      const usage = { prompt_tokens: 100, completion_tokens: 9 };
      response.end(
        JSON.stringify({ choices: [{ index: 0, message: { role: "assistant", content } }], usage }),
      );
    });
    const memo = new Map<string, Json>();
    for (let round = 0; round < 2; round++) {
      const { metrics } = await attack(params, { memo });
      expect(metrics).toMatchObject({ promptTokens: 700, completionTokens: 63 });
    }
    expect(requests).toHaveLength(7);
  });

  it("takes a refusal, an answer without content, for one that is rejected", async () => {
    const refusing = await serve((_, response) => complete(response, null));
    const { report } = await attack(refusing.params);
    expect(report.length).toBeGreaterThan(0);
    expect(report.every(({ by, rejected }) => /rules/.test(String(by)) && rejected === "empty")).toBe(true);
  });

  it("explains a server that is slow, and one that is down", async () => {
    const { params, stop } = await serve(() => {});
    await expect(attack({ ...params, onFail: "fail", timeoutSeconds: 0.2 })).rejects.toMatchObject({
      message: expect.stringContaining("did not answer within 0.2 s"),
      transient: true,
    });
    await stop();
    await expect(attack({ ...params, onFail: "fail" })).rejects.toMatchObject({
      message: expect.stringMatching(/cannot be reached: .*ECONNREFUSED/),
      transient: true,
    });
  });

  it("stops when the step is cancelled", async () => {
    const stop = new AbortController();
    const { params } = await serve(() => stop.abort(new Error("stopped by the test")));
    await expect(attack(params, { signal: stop.signal })).rejects.toThrow("stopped by the test");
  });

  it("wants the key that it is told of", async () => {
    const { params, requests } = await serve((_, response) => refuse(response, 500));
    await expect(attack({ ...params, apiKey: "NOT_SET_ANYWHERE" })).rejects.toThrow(
      "environment variable NOT_SET_ANYWHERE that apiKey names is not set",
    );
    expect(requests).toHaveLength(0);
  });
});

describe("parameters", () => {
  const check = (params: JsonObject): string | undefined =>
    (attackCaptionLlm.check as (params: unknown) => string | undefined)(
      attackCaptionLlm.params.parse(params),
    );

  it.each([
    [{ backend: "openai", baseUrl: "http://x/v1" }, "needs model"],
    [{ backend: "openai", model: "m" }, "needs baseUrl"],
    [{ backend: "replay" }, "needs replay"],
    [{ backend: "llama" }, "needs modelFile"],
    [{ template: "rewrite it" }, "needs {caption}"],
    [{ minWmr: 0.5, maxWmr: 0.5 }, "must be less than maxWmr"],
  ])("%o: %s", (params, problem) => {
    expect(check(params)).toContain(problem);
  });

  it("are fine by default, and with a server", () => {
    expect(check({})).toBeUndefined();
    expect(check({ backend: "openai", model: "m", baseUrl: "http://localhost:8000/v1" })).toBeUndefined();
  });
});
