/** What a researcher can get wrong, through the real command line: the message, its place, the exit code, the store. */
import { existsSync } from "node:fs";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { createWorkspace, executedSteps, type Workspace } from "../rig/cli.ts";

// Whole runs on a machine that does other work too.
vi.setConfig({ testTimeout: 300_000 });

const library = join(import.meta.dirname, "..", "..", "nodes", "index.ts");
const run = ["run", "p.yaml", "--keep-going", "--backend", "cpu"];

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace({ nodes: library });
});
afterEach(() => workspace.remove());

/** Step -> its failure as one text: message, hint, place. */
function failures(events: readonly RunEvent[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    events.flatMap((event): [string, string][] =>
      event.type === "step-failed"
        ? [[event.step, `${event.error.message}\n${event.error.hint ?? ""}\n${event.error.at ?? ""}`]]
        : [],
    ),
  );
}

/** A picture of 32 x 32 grey noise that depends on a number. */
function pixels(number: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: 32 * 32 }, (_, i) => (i * (number + 3) * 2_654_435_761) >>> 24);
}
const picture = (number: number): ReturnType<typeof sharp> =>
  sharp(pixels(number), { raw: { width: 32, height: 32, channels: 1 } });

const ids = ["a", "b", "c", "d"];

/** Writes a ROCOv2 folder of four pairs. */
async function roco(name: string): Promise<string> {
  const root = join(workspace.folder, name);
  await mkdir(join(root, "train"), { recursive: true });
  await writeFile(
    join(root, "train_captions.csv"),
    `ID,Caption\n${ids.map((id) => `${id},Chest radiograph ${id} without findings\n`).join("")}`,
  );
  await Promise.all(
    ids.map(async (id, i) => writeFile(join(root, "train", `${id}.jpg`), await picture(i).png().toBuffer())),
  );
  return root;
}

describe("a mistake in a pipeline", () => {
  it("is found with all others before anything runs, at its place, with a name that was meant", async () => {
    await workspace.write(
      "p.yaml",
      `name: wrong
inputs: { count: 20 }
axes: { gamma: [0, 10] }
nodes:
  world: { type: data.synthetic, with: { pairs: $(inputs.cuont) } }
  pairs: { type: data.roccov2, in: { root: world.rocov2 } }
  roco: { type: data.rocov2, in: { rooot: world.rocov2 }, with: { splitt: train, limit: many } }
  medicat: { type: data.medicat, in: { root: world.medicta } }
  noisy: { type: noise.mix, in: { clean: roco, noisy: world.medicat }, with: { percent: $(gama) } }
  mixed: { type: noise.mix, in: { clean: roco, noisy: roco }, with: { percent: 8/255 } }
  many: { type: noise.mix, in: { clean: roco, noisy: roco }, with: { percent: 300 } }
  rootless: { type: data.rocov2 }
  wordless: { type: model.clip, with: { arch: vit-nano } }
`,
    );
    const { exitCode, stderr } = await workspace.run(["run", "p.yaml"]);
    expect(exitCode).toBe(2);
    const codes = [...stderr.matchAll(/^p\.yaml:(\d+):\d+ (?:warning )?(\S+)/gm)].map(
      ([, line, code]) => `${line} ${code}`,
    );
    expect(codes).toEqual(
      expect.arrayContaining([
        "5 unknown-input",
        "6 unknown-node-type",
        "7 unknown-port",
        "7 unknown-param",
        "7 param-type",
        "8 unknown-port",
        "9 port-type-mismatch",
        "9 unknown-axis",
        "10 param-type",
        "11 param-value",
        "12 missing-input",
        "13 missing-input",
      ]),
    );
    for (const meant of ["count", "data.rocov2", "root", "split", "medicat", "gamma"]) {
      expect(stderr).toContain(`did you mean \`${meant}\`?`);
    }
    expect(stderr).toContain("the parameter's unit is %");
    expect(existsSync(workspace.store)).toBe(false);
  });

  const bomb = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(10)}]\n`);
  const nodes = "nodes:\n  world: { type: data.synthetic }\n";
  it.each([
    ["yaml-syntax", "p.yaml:3:1", "name: t\nnodes:\n\tworld: { type: data.synthetic }\n", "replace the tab"],
    [
      "duplicate-key",
      "p.yaml:4:3",
      `name: t\n${nodes}  world: { type: data.synthetic }\n`,
      "p.yaml:3:3 the first one",
    ],
    ["file-too-large", "p.yaml", `name: t\n${nodes}# ${"x".repeat(1_000_000)}`, "1,000,000 bytes"],
    ["too-many-aliases", "p.yaml:", `name: t\na0: &a0 [x, x]\n${bomb.join("")}${nodes}`, "100,000 values"],
    [
      "cycle",
      "p.yaml:3:",
      `name: t
nodes:
  a: { type: noise.mix, in: { clean: b.pairs, noisy: b.pairs }, with: { percent: 3 } }
  b: { type: noise.mix, in: { clean: a.pairs, noisy: a.pairs }, with: { percent: 3 } }
`,
      "`a` reads `b` reads `a`",
    ],
  ])("of the kind %s is told apart", async (code, place, yaml, words) => {
    await workspace.write("p.yaml", yaml);
    const { exitCode, stderr } = await workspace.run(["check", "p.yaml"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(code);
    expect(stderr).toContain(place);
    expect(stderr).toContain(words);
  });
});

describe("a dataset folder", () => {
  it("that is wrong names file, line and remedy; what is right is done, and a rerun does the rest only", async () => {
    const change = async (name: string, edit: (table: string) => string): Promise<void> => {
      const table = join(await roco(name), "train_captions.csv");
      await writeFile(table, edit(await readFile(table, "utf8")));
    };
    await roco("good");
    await mkdir(join(workspace.folder, "empty"));
    await change("orphan", (table) => `${table}e,A caption without its image\n`);
    await change("columns", (table) => table.replace("ID,Caption", "image,text"));
    await change("semicolons", (table) => table.replaceAll(",", ";"));
    await change("windows", (table) => `\uFEFF${table.replaceAll("\n", "\r\n")}`);
    await change("cut", (table) => table.slice(0, table.lastIndexOf(",")));
    await change("twice", (table) => `${table}a,Another one\n`);
    await truncate(join(await roco("zero"), "train", "b.jpg"), 0);
    const folders = "good windows missing empty orphan columns semicolons cut twice zero".split(" ");
    const loaders = folders.map((name) => `  ${name}: { type: data.rocov2, with: { root: ${name} } }\n`);
    await workspace.write("p.yaml", `name: folders\nnodes:\n${loaders.join("")}`);

    const { events, result } = await workspace.events(run);
    expect(result.exitCode, result.stderr).toBe(1);
    // Without and with BOM and CRLF the table says the same, but its bytes are others: two executions.
    expect(executedSteps(events).toSorted()).toEqual(["good", "windows"]);
    const failed = failures(events);
    const inside = (name: string): string => join(workspace.folder, name);
    const says = (step: string, ...words: readonly string[]): void => {
      for (const word of words) expect(failed[step]).toContain(word);
      expect(failed[step]).toContain(`p.yaml:${folders.indexOf(step) + 3}:3`);
    };
    says("missing", inside("missing"), "does not exist", "train_captions.csv");
    says("empty", inside("empty"), "is empty", "train_captions.csv");
    says("orphan", inside("orphan"), "1 of 5 images", "record e", "onMissing: skip");
    says(
      "columns",
      `${inside("columns")}/train_captions.csv:1`,
      'lacks the columns "ID", "Caption"',
      '"image", "text"',
    );
    says("semicolons", `${inside("semicolons")}/train_captions.csv:1`, 'separated by ";"');
    says("cut", `${inside("cut")}/train_captions.csv:5`, "cut off");
    says("twice", `${inside("twice")}/train_captions.csv`, "record a stands twice");
    says("zero", inside("zero"), "empty (0 bytes)", "record b");

    await roco("missing");
    await roco("zero");
    const again = await workspace.events(run);
    // Both are what `good` is by now: results go by content, and nothing has to run.
    expect(again.result.exitCode).toBe(1);
    expect(executedSteps(again.events)).toEqual([]);
    expect(Object.keys(failures(again.events)).toSorted()).toEqual(
      ["columns", "cut", "empty", "orphan", "semicolons", "twice"].toSorted(),
    );
  });
});

describe("an image or a checkpoint", () => {
  it("that cannot be read is named with its path; other modes are read; a fixed file is all that runs again", async () => {
    const put = async (folder: string, id: string, bytes: Uint8Array): Promise<void> =>
      writeFile(join(await roco(folder), "train", `${id}.jpg`), bytes);
    const jpeg = await picture(1).jpeg().toBuffer();
    await put("truncated", "b", jpeg.subarray(0, jpeg.length / 2));
    await put("text", "b", Buffer.from("<html>404 not found</html>"));
    await put(
      "huge",
      "b",
      await sharp({ create: { width: 30_000, height: 2, channels: 3, background: "red" } })
        .png()
        .toBuffer(),
    );
    const modes = join(await roco("modes"), "train");
    const deep = Uint16Array.from(pixels(0), (value) => value * 257);
    await writeFile(
      join(modes, "a.jpg"),
      await sharp(deep, { raw: { width: 32, height: 32, channels: 1 } })
        .toColourspace("grey16")
        .png()
        .toBuffer(),
    );
    await writeFile(
      join(modes, "b.jpg"),
      await picture(1).toColourspace("srgb").png({ palette: true }).toBuffer(),
    );
    await writeFile(
      join(modes, "c.jpg"),
      await picture(2).toColourspace("srgb").ensureAlpha(0.5).png().toBuffer(),
    );

    const header = Buffer.from(
      JSON.stringify({ weight: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] } }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    await writeFile(
      join(workspace.folder, "other.safetensors"),
      Buffer.concat([length, header, Buffer.alloc(16)]),
    );
    await writeFile(
      join(workspace.folder, "cut.safetensors"),
      Buffer.concat([length, header, Buffer.alloc(9)]),
    );

    const folders = "truncated text huge modes".split(" ");
    await workspace.write(
      "p.yaml",
      `name: files
axes: { data: [${folders.join(", ")}], weights: [other, cut, absent] }
nodes:
  roco: { type: data.rocov2, with: { root: $(data) } }
  model: { type: model.clip, in: { captions: { from: roco, at: { data: modes } } }, with: { arch: vit-nano, vocab: learned } }
  train:
    type: clip.pretrain
    in: { pairs: roco, init: model }
    with: { epochs: 1, batchSize: 4, warmup: 1 }
  loaded: { type: model.clip, in: { captions: { from: roco, at: { data: modes } } }, with: { arch: vit-nano, vocab: learned, checkpoint: $(weights).safetensors } }
`,
    );
    const { events, result } = await workspace.events(run);
    expect(result.exitCode, result.stderr).toBe(1);
    expect(executedSteps(events)).toContain("train[data=modes]");
    const failed = failures(events);
    const says = (step: string, ...words: readonly string[]): void => {
      for (const word of words) expect(failed[step]).toContain(word);
    };
    const image = (folder: string): string => `b (${join(workspace.folder, folder, "train", "b.jpg")})`;
    says("train[data=truncated]", image("truncated"), "truncated or damaged", "`exclude`", "p.yaml:6:3");
    says("train[data=text]", image("text"), "not an image", "p.yaml:6:3");
    says("train[data=huge]", image("huge"), "too large: 30000 x 2", "p.yaml:6:3");
    const checkpoint = (name: string): string => join(workspace.folder, `${name}.safetensors`);
    says(
      "loaded[weights=other]",
      checkpoint("other"),
      "is no CLIP checkpoint",
      "named as in no known format",
      "p.yaml:10:3",
    );
    says("loaded[weights=cut]", checkpoint("cut"), "is truncated", 'tensor "weight"');
    says("loaded[weights=absent]", `there is no checkpoint ${checkpoint("absent")}`);
    expect(Object.keys(failed)).toHaveLength(6);

    await put("text", "b", await picture(9).png().toBuffer());
    const again = await workspace.events(run);
    expect(executedSteps(again.events).toSorted()).toEqual(["roco[data=text]", "train[data=text]"]);
  });
});

describe("a server of language models", () => {
  let server: Server;
  afterEach(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));

  it("that is down, slow, overloaded or no such server is told apart; answers of no use fall back", async () => {
    const json = (response: ServerResponse, status: number, body: unknown, headers = {}): void => {
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify(body));
    };
    const answers: Readonly<Record<string, (response: ServerResponse) => void>> = {
      slow: () => {},
      limited: (response) => json(response, 429, { error: { message: "too many" } }, { "retry-after": "0" }),
      locked: (response) => json(response, 401, { error: { message: "no key" } }),
      other: (response) => json(response, 200, { hello: "world" }),
      garbage: (response) => json(response, 200, { choices: [{ message: { content: "lorem ipsum" } }] }),
      down: (response) => response.socket?.destroy(),
    };
    server = createServer((request, response) => {
      request.resume().on("end", () => answers[request.url?.split("/")[1] ?? ""]?.(response));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await roco("roco");
    const rewriters = Object.keys(answers).map(
      (name) => `  ${name}:
    type: attack.caption-llm
    in: { pairs: roco }
    with: { backend: openai, model: ${name}, baseUrl: "http://127.0.0.1:${port}/${name}/v1", requestRetries: 0, timeoutSeconds: ${name === "slow" ? 1 : 120} }\n`,
    );
    await workspace.write(
      "p.yaml",
      `name: servers\nnodes:\n  roco: { type: data.rocov2, with: { root: roco } }\n${rewriters.join("")}`,
    );
    const { events, result } = await workspace.events(run);
    expect(result.exitCode, result.stderr).toBe(1);
    // A key that is refused is nobody's bad luck: the step ends. All else costs captions, which are counted.
    const failed = failures(events);
    expect(Object.keys(failed)).toEqual(["locked"]);
    expect(failed["locked"]).toMatch(/refuses access[^]*apiKey/);
    expect(failed["locked"]).toContain(`http://127.0.0.1:${port}/`);
    expect(executedSteps(events).toSorted()).toEqual(["down", "garbage", "limited", "other", "roco", "slow"]);
    const warningsOf = (step: string): string =>
      events
        .flatMap((event) =>
          event.type === "step-log" && event.step === step && event.level === "warning"
            ? [event.message]
            : [],
        )
        .join("\n");
    for (const [step, trouble, remedy] of [
      ["slow", "did not answer within 1 s", "raise timeoutSeconds"],
      ["limited", "limits the rate", "answers so far are kept"],
      ["other", 'something else than a chat completion: {"hello":"world"}', "usually ends in /v1"],
      ["down", "cannot be reached", "start the server"],
    ] as const) {
      const warnings = warningsOf(step);
      for (const words of [trouble, remedy, `http://127.0.0.1:${port}/${step}/v1`])
        expect(warnings).toContain(words);
      expect(warnings).toMatch(/4 of 4 captions got no answer: 4 x no answer: /);
    }
    expect(warningsOf("garbage")).toMatch(/4 captions fell back to rules/);
    const lacking = events.flatMap((event) => (event.type === "run-finished" ? (event.lacking ?? []) : []));
    expect(lacking.map(({ step }) => step).toSorted()).toEqual(["down", "limited", "other", "slow"]);
  });
});

describe("a store", () => {
  it("of a newer version, of something else, or without an index of its own is refused before anything runs", async () => {
    await roco("roco");
    await workspace.write("p.yaml", "name: p\nnodes:\n  roco: { type: data.rocov2, with: { root: roco } }\n");
    const made = await workspace.run(["run", "p.yaml", "--ui", "plain"]);
    expect(made.exitCode, made.stderr).toBe(0);
    const refused = async (store: string, ...words: readonly string[]): Promise<void> => {
      const { exitCode, stderr } = await workspace.run(["run", "p.yaml", "--store", store]);
      expect(exitCode).toBe(2);
      for (const word of words) expect(stderr).toContain(word);
    };
    const format = join(workspace.store, "format.json");
    const current = await readFile(format, "utf8");
    await writeFile(format, '{"format":99,"ranflow":"9.0.0"}');
    await refused(workspace.store, "store-too-new", workspace.store, "ranflow 9.0.0", "update ranflow");
    await refused(join(workspace.folder, "roco"), "is not a ranflow store", "--store");
    await refused(join(workspace.folder, "p.yaml"), "is not a folder", "--store");
    await writeFile(format, current);
    const { events } = await workspace.events(run);
    expect(executedSteps(events)).toEqual([]);
    const data = join(workspace.store, "index", "data.mdb");
    await writeFile(data, "an editor was here");
    await refused(workspace.store, data, "damaged");
  });
});
