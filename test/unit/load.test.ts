import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadGrid } from "../../engine/load/index.ts";
import type { Diagnostic } from "../../engine/model/diagnostic.ts";
import { formatDiagnostics } from "../../engine/report/code-frame.ts";
import { library } from "../../nodes/index.ts";
import fc from "../rig/fast-check.ts";

const quickstart = join(import.meta.dirname, "..", "..", "pipelines", "quickstart.yaml");

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-load-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function errorsOf(yaml: string, profiles: readonly string[] = []): Promise<readonly Diagnostic[]> {
  await writeFile(join(folder, "p.yaml"), yaml);
  const loaded = await loadGrid({ path: "p.yaml", cwd: folder, library, sets: [], profiles });
  return loaded.ok ? [] : loaded.error.filter(({ severity }) => severity === "error");
}

/** Something that an editing hand may do to a text: at a share of its length, cut so much and put this in. */
const edit = fc.record({
  place: fc.double({ min: 0, max: 1, noNaN: true }),
  cut: fc.constantFrom(0, 0, 1, 2, 8, 40, 200),
  put: fc.oneof(
    fc.constantFrom(
      ..."\t|\n|\r\n| |  |-|: |{|}|[|]|,|$(|)|$$(|*a|&a|!|'|\"|#|%|<<|null|.nan|~|8/255|\u0000|\u202e|😀".split(
        "|",
      ),
    ),
    fc.constantFrom(
      "$(gamma)",
      "$(noise)",
      "$(inputs.epochs)",
      "$(head.method)",
      "$(cxr.label)",
      "collect",
      "from",
      "world",
      "imports",
      "zip",
      "include",
      "q/gamma",
      "$(q/noise)",
      "q/embed",
      "p.yaml",
      "q.yaml",
      "plugins",
      "shards",
      "$(out.text)",
      "$(in.pairs)",
      "__proto__",
      "constructor",
    ),
    fc.string({ maxLength: 6, unit: "binary" }),
  ),
});

function damaged(text: string, edits: readonly { place: number; cut: number; put: string }[]): string {
  return edits.reduce((before, { place, cut, put }) => {
    const from = Math.floor(place * before.length);
    return before.slice(0, from) + put + before.slice(from + cut);
  }, text);
}

/** What holds of errors whatever the file looks like. */
function expectSound(errors: readonly Diagnostic[]): void {
  for (const { hint, location, message } of errors) {
    expect(message).not.toMatch(/undefined|\[object|NaN/);
    expect(hint ?? "").not.toMatch(/undefined|\[object|NaN/);
    if (!location) continue;
    expect(location.start).toBeGreaterThanOrEqual(0);
    expect(location.end).toBeLessThanOrEqual(location.file.text.length + 1);
  }
  const shown = formatDiagnostics(errors, { color: false });
  // Nothing from a file moves the cursor.
  expect(shown).not.toMatch(/[^\P{Cc}\n]|[\u202a-\u202e]/u);
}

describe("a slip", () => {
  const said = async (yaml: string): Promise<string> =>
    formatDiagnostics(await errorsOf(yaml), { color: false });
  const node = "nodes: { w: { type: text.write, with: { text: x } } }";

  it("that leaves a second document in the file is said: half of the pipeline would be left out", async () => {
    for (const end of ["---\nname: q\n", "...\nname: q\n"])
      expect(await said(`name: p\n${node}\n${end}`)).toContain("the file holds more than one document");
    expect(await said(`---\nname: p\n${node}\n`)).toBe("");
  });

  it("in a word that can only be one of a few is guessed", async () => {
    const program = "type: exec, with: { command: [a, $(out.y)], outputs: { y: txt } }";
    expect(await said(`name: p\nnodes: { x: { ${program} } }`)).toContain("did you mean `text`?");
    const gathered = "type: text.write, in: { after: { colect: w } }, with: { text: x }";
    expect(await said(`name: p\nnodes: { x: { ${gathered} } }`)).toContain("did you mean `collect`?");
    expect(await said("name: p\nnodes: { x: { type: text.write, with: { text: .inf } } }")).toContain(
      "is the number .inf, which is not finite",
    );
    expect(await said("name: p\nnodes: { x: { type: text.write, with: { text: @x } } }")).toContain(
      "put the text in quotes",
    );
    expect(await said(`name: p\nimports: [q.yml]\n${node}`)).not.toContain("did you mean `p.yaml`");
  });
});

describe("a damaged pipeline", () => {
  it("in several files, with all that a pipeline can have, is loaded or refused as well", async () => {
    const whole = `name: whole
plugins: []
imports: [f.yaml, { q: { file: q.yaml, inputs: { epochs: $(inputs.few) } } }]
inputs: { few: 2, word: { a: b } }
profiles:
  paper: { inputs: { few: 9, word: { a: c } }, axes: { gamma: [0, 70, 80] }, seed: 3 }
axes:
  gamma: [0, 10, 30]
  arch: [vit-nano, vit-micro, vit-tiny]
  head: { probe: { method: probe }, ran: { method: ran } }
grid:
  zip: [[gamma, arch]]
  exclude: [{ q/gamma: 10, head: probe }]
  include: [{ gamma: 50, arch: [vit-small, vit-nano], head: ran }, { q/gamma: 20 }]
nodes:
  start: { type: model.clip, in: { captions: roco }, with: { arch: $(arch) } }
  embed: { type: clip.embed-images, in: { model: { from: q/pretrain, at: { q/gamma: 0 } }, images: xrays } }
  tune: { type: head.train, in: { train: embed }, with: [{ epochs: $(inputs.few) }, $(head)], seed: $(gamma) }
  rewrite: { type: attack.caption-llm, in: { pairs: roco }, shards: 3, with: { percent: 30%, backend: rules } }
  program:
    type: exec
    in: { tables: { collect: table }, pairs: rewrite.pairs }
    with: { command: [sh, -c, "cat $(in.pairs)", $(out.own), $(seed)], outputs: { text: text, own: { type: lab.own, kind: folder } }, stdout: text, files: [./run.sh], env: [A], secrets: [B] }
    resources: { cpu: 2, memory: 4G, licence: 1 }
    retries: 2
    timeout: 1h30m
    cache: false
    only: [{ gamma: [0, 10] }]
  table: { type: report.table, in: { rows: { collect: q/evaluate.metrics, over: [q/gamma], as: { q/gamma: g } } }, with: { rows: [g] } }
`;
    const fragment = `imports: [f.yaml, p.yaml]
inputs: { data: ../data, few: 1 }
axes: { gamma: [1, 2] }
grid: { exclude: [{ head: probe, gamma: 30 }] }
nodes:
  roco: { type: data.rocov2, with: { root: $(inputs.data), limit: $(inputs.few) } }
  xrays: { type: data.chestxray14, with: { root: ../nih } }
`;
    const other = (await readFile(quickstart, "utf8")).replace(
      "name:",
      "profiles: { paper: { inputs: { epochs: 9 } } }\nname:",
    );
    await writeFile(join(folder, "f.yaml"), fragment);
    await writeFile(join(folder, "q.yaml"), other);
    for (const profiles of [[], ["paper"]]) expect(await errorsOf(whole, profiles)).toEqual([]);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(0, 0, 1, 2),
        fc.array(edit, { maxLength: 3 }),
        fc.boolean(),
        async (which, edits, isPaper) => {
          const texts = [whole, fragment, other].map((text, i) =>
            i === which ? damaged(text, edits) : text,
          );
          await writeFile(join(folder, "f.yaml"), texts[1] ?? "");
          await writeFile(join(folder, "q.yaml"), texts[2] ?? "");
          expectSound(await errorsOf(texts[0] ?? "", isPaper ? ["paper"] : []));
        },
      ),
      { numRuns: 150 },
    );
    await rm(join(folder, "f.yaml"));
    await rm(join(folder, "q.yaml"));
  });

  it("is loaded or refused with errors that point into it, and never throws", async () => {
    const text = await readFile(quickstart, "utf8");
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        const errors = await errorsOf(damaged(text, edits));
        if (errors.length > 0) refused++;
        expectSound(errors);
      }),
      { numRuns: 300 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});

describe("a small file that stands for much", () => {
  const nodes = "nodes: { table: { type: report.table, with: { title: $(inputs.a40) } } }\n";
  const doubling = (first: string, next: (name: string) => string): string =>
    `name: much\ninputs:\n  a0: ${first}\n${Array.from({ length: 40 }, (_, i) => `  a${i + 1}: ${next(`$(inputs.a${i})`)}\n`).join("")}${nodes}`;

  it.each([
    ["texts made of texts", "interpolation-type", doubling("long text", (name) => `"${name}${name}"`)],
    ["lists made of lists", "too-many-aliases", doubling("[1, 2]", (name) => `[${name}, ${name}]`)],
    [
      "lists in lists",
      "yaml-syntax",
      `name: deep\ninputs: { a: ${"[".repeat(50_000)}${"]".repeat(50_000)} }\n${nodes}`,
    ],
  ])("is refused at once: %s", async (_, code, yaml) => {
    const errors = await errorsOf(yaml);
    expect(errors.map((error) => error.code)).toContain(code);
    expect(errors.length).toBeLessThan(4);
  });

  it("may be long as a chain: 3,000 nodes, each reading the one before", async () => {
    const chain = Array.from(
      { length: 3_000 },
      (_, i) =>
        `  m${i + 1}: { type: noise.mix, in: { clean: m${i}.pairs, noisy: m0 }, with: { percent: 1 } }\n`,
    );
    const start = "  m0: { type: data.rocov2, with: { root: data } }\n";
    expect(await errorsOf(`name: chain\nnodes:\n${start}${chain.toReversed().join("")}`)).toEqual([]);
  });
});
