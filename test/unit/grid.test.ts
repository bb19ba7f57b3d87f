import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { joinLibraries, libraryOf } from "../../engine/model/node-library.ts";
import { loadGrid } from "../../engine/load/index.ts";
import type { LoadedGrid } from "../../engine/load/index.ts";
import type { Diagnostic } from "../../engine/model/diagnostic.ts";
import type { Grid, StepInput } from "../../engine/model/grid.ts";
import type { Result } from "../../engine/model/result.ts";
import { defineNode, port } from "../../engine/sdk.ts";
import type { NodeType } from "../../engine/sdk.ts";
import fc from "../rig/fast-check.ts";
import { testLibrary } from "../rig/library.ts";
import { at, expandSketch, idOf } from "../rig/grid-sketch.ts";
import type { NodeSketch, PipelineSketch, PointSketch, SourceSketch } from "../rig/grid-sketch.ts";

/** Takes one artifact on two ports and many on a third, none of which it needs. */
const joinNode: NodeType = defineNode({
  type: "test.join",
  version: 1,
  summary: "Joins what it is given",
  inputs: {
    a: port("text", { optional: true }),
    b: port("text", { optional: true }),
    many: port("text", { many: true, optional: true }),
  },
  outputs: { text: port("text") },
  params: z.object({ text: z.string().default("") }),
  run: async () => {},
});
const library = joinLibraries([testLibrary, libraryOf([joinNode])]);

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-grid-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function load(
  yaml: string,
  sets: readonly string[] = [],
): Promise<Result<LoadedGrid, readonly Diagnostic[]>> {
  await writeFile(join(folder, "p.yaml"), yaml);
  return loadGrid({ path: "p.yaml", cwd: folder, library, sets });
}

async function grid(yaml: string, sets: readonly string[] = []): Promise<Grid> {
  const loaded = await load(yaml, sets);
  if (!loaded.ok) throw new Error(loaded.error.map(({ code, message }) => `${code} ${message}`).join("\n"));
  return loaded.value.grid;
}

/** A meaning with the lists of its inputs in alphabetical order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(sorted).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, sorted(inner)]));
}

/** Step id -> parameters and inputs, with steps by their ids. */
function meaning({ steps }: Grid): Readonly<Record<string, unknown>> {
  const id = (index: number): string => steps[index]?.id ?? "";
  const ids = (input: StepInput): unknown =>
    input.kind === "one" ? id(input.step) : input.items.map((item) => [id(item.step), item.at]);
  return Object.fromEntries(
    steps.map((step) => [
      step.id,
      {
        params: step.params,
        inputs: Object.fromEntries(Object.entries(step.inputs).map(([name, input]) => [name, ids(input)])),
      },
    ]),
  );
}

/** A pipeline file of a sketch, its nodes and their fields in an order that `shuffle` gives. */
function yamlOf(
  { axes, exclude, include, nodes, zip }: PipelineSketch,
  shuffle = <T>(items: readonly T[]) => items,
): string {
  const shuffled = (entries: readonly (readonly [string, unknown])[]): object =>
    Object.fromEntries(shuffle(entries.filter(([, value]) => value !== undefined)));
  const binding = (source: SourceSketch | undefined): unknown => {
    if (!source) return undefined;
    const name = nodes[source.node]?.name;
    const pins = Object.keys(source.at).length > 0 ? source.at : undefined;
    if (!source.over)
      return shuffled([
        ["from", `${name}.text`],
        ["at", pins],
      ]);
    return shuffled([
      ["collect", `${name}.text`],
      ["at", pins],
      ["over", source.over],
    ]);
  };
  const nodeMap = (node: NodeSketch): object =>
    shuffled([
      ["type", "test.join"],
      ["with", { text: node.mentions.map((axis) => `$(${axis}.label)`).join(" ") }],
      [
        "in",
        shuffled([
          ["a", binding(node.a)],
          ["b", binding(node.b)],
          ["many", binding(node.many)],
        ]),
      ],
      ["only", node.only.length > 0 ? node.only : undefined],
      ["except", node.except.length > 0 ? node.except : undefined],
    ]);
  return JSON.stringify({
    name: "sketch",
    axes: Object.fromEntries(
      axes.map(({ name, labels, isMap }) => [
        name,
        isMap ? Object.fromEntries(labels.map((label, i) => [label, { weight: i }])) : labels,
      ]),
    ),
    grid: shuffled([
      ["exclude", exclude],
      ["include", include],
      ["zip", zip],
    ]),
    nodes: shuffled(nodes.map((node) => [node.name, nodeMap(node)])),
  });
}

/** Any of the items, as the bits of a number choose. */
const chosen = <T>(items: readonly T[], bits: number): T[] => items.filter((_, i) => (bits >> i) % 2 === 1);

const bits = fc.nat(63);
const rawPoint = fc.record({ axes: fc.constantFrom(1, 2, 4, 3, 5, 6, 7), labels: bits });
const rawSource = fc.option(
  fc.record({
    node: fc.nat(20),
    pins: fc.constantFrom(0, 0, 0, 1, 2, 4),
    label: fc.nat(9),
    over: bits,
    all: fc.boolean(),
  }),
  { nil: undefined, freq: 2 },
);
const rawNode = fc.record({
  mentions: fc.constantFrom(0, 1, 2, 4, 3),
  a: rawSource,
  b: rawSource,
  many: rawSource,
  only: fc.array(rawPoint, { maxLength: 1 }),
  except: fc.array(rawPoint, { maxLength: 1 }),
});

/** Pipelines of up to three axes and six nodes, every binding of which is legal. */
const pipelines: fc.Arbitrary<PipelineSketch> = fc
  .record({
    sizes: fc.array(fc.record({ size: fc.integer({ min: 1, max: 4 }), isMap: fc.boolean() }), {
      minLength: 1,
      maxLength: 3,
    }),
    nodes: fc.array(rawNode, { minLength: 1, maxLength: 6 }),
    exclude: fc.array(rawPoint, { maxLength: 1 }),
    include: fc.array(fc.record({ point: rawPoint, added: bits }), { maxLength: 2 }),
    zip: fc.constantFrom(0, 0, 3, 3, 5, 6, 7),
    /** Axes of one length, which can be zipped. */
    alike: fc.boolean(),
  })
  .map((raw) => {
    const axes = raw.sizes.map(({ size, isMap }, i) => ({
      name: `axis${i}`,
      labels: Array.from({ length: raw.alike ? (raw.sizes[0]?.size ?? 1) : size }, (_, label) => `v${label}`),
      isMap,
    }));
    const names = axes.map(({ name }) => name);
    const point = (made: { axes: number; labels: number }): PointSketch[] => {
      const entries = chosen(axes, made.axes).map(({ name, labels }, i): [string, readonly string[]] => {
        const some = chosen(labels, made.labels >> i);
        return [name, some.length > 0 ? some : labels.slice(0, 1)];
      });
      return entries.length > 0 ? [Object.fromEntries(entries)] : [];
    };
    const [first, ...rest] = chosen(axes, raw.zip);
    const equal = rest.filter(({ labels }) => labels.length === first?.labels.length);
    const zipped = first && equal.length > 0 ? [first, ...equal].map(({ name }) => name) : [];
    const mates = (axis: string): string[] => (zipped.includes(axis) ? zipped : [axis]);
    const include = raw.include.flatMap(({ added, point: made }) =>
      point(made).map((wanted): PointSketch => {
        const named = Object.keys(wanted).filter((axis) => zipped.includes(axis));
        // Of a zip one axis is named, and the others follow, or all are, and may be anything.
        const isPart = named.length > 0 && named.length < zipped.length;
        return Object.fromEntries(
          Object.entries(wanted).flatMap(([axis, labels], i): [string, readonly string[]][] => {
            if (isPart && zipped.includes(axis) && axis !== named[0]) return [];
            const isOpen =
              !axes.find(({ name }) => name === axis)?.isMap && !(isPart && zipped.includes(axis));
            return [[axis, isOpen && (added >> i) % 2 === 1 ? [...labels, `n${added % 3}`] : labels]];
          }),
        );
      }),
    );
    const nodes: NodeSketch[] = [];
    const nodeAxes: string[][] = [];
    for (const [i, node] of raw.nodes.entries()) {
      const own = new Set(chosen(names, node.mentions));
      const source = (made: typeof node.a, many: boolean): SourceSketch | undefined => {
        if (!made || i === 0) return undefined;
        const upstream = made.node % i;
        const theirs = nodeAxes[upstream] ?? [];
        const pins = chosen(theirs, made.pins).map((axis): [string, string] => [
          axis,
          `v${made.label % axisSize(axis)}`,
        ]);
        const rest = theirs.filter((axis) => !pins.some(([pinned]) => mates(pinned).includes(axis)));
        // `over: []` would gather over nothing: one artifact.
        const over = made.all ? rest : chosen(rest, made.over);
        for (const axis of rest) if (!many || !mates(axis).some((mate) => over.includes(mate))) own.add(axis);
        return { node: upstream, at: Object.fromEntries(pins), ...(many && { over }) };
      };
      const axisSize = (axis: string): number => axes.find(({ name }) => name === axis)?.labels.length ?? 1;
      nodes.push({
        name: `node${i}`,
        mentions: chosen(names, node.mentions),
        a: source(node.a, false),
        b: source(node.b, false),
        many: source(node.many, true),
        only: node.only.flatMap(point),
        except: node.except.flatMap(point),
      });
      nodeAxes.push(names.filter((name) => own.has(name)));
    }
    return {
      axes,
      zip: zipped.length > 0 ? [zipped] : [],
      exclude: raw.exclude.flatMap(point),
      include,
      nodes,
    };
  });

describe("expansion of any pipeline", () => {
  it("gives the steps, inputs and errors that the language's rules give when followed point by point", async () => {
    let sound = 0;
    await fc.assert(
      fc.asyncProperty(pipelines, async (sketch) => {
        const expected = expandSketch(sketch);
        const loaded = await load(yamlOf(sketch));
        if (!loaded.ok) {
          const codes = loaded.error.filter(({ severity }) => severity === "error").map(({ code }) => code);
          expect(expected.problems.length, codes.join()).toBeGreaterThan(0);
          expect(
            codes.every((code) => ["trimmed-step", "ambiguous-pin", "empty-binding"].includes(code)),
          ).toBe(true);
          return;
        }
        sound++;
        expect(expected.problems).toEqual([]);
        const { grid: found } = loaded.value;
        // Zipped axes come row by row and not label by label, which the filter over the product knows nothing of.
        const order = sketch.zip.length > 0 ? sorted : (value: unknown) => value;
        expect(order(meaning(found))).toEqual(order(expected.steps));
        expect(found.steps.map(({ id }) => id)).toHaveLength(new Set(found.steps.map(({ id }) => id)).size);
        for (const step of found.steps) {
          expect(step.id).toBe(idOf(step.node, Object.keys(step.point), step.point));
          for (const input of Object.values(step.inputs)) {
            const read = input.kind === "one" ? [input.step] : input.items.map((item) => item.step);
            for (const index of read) expect(index).toBeLessThan(step.index);
          }
        }
        expect(found.nodes.flatMap(({ steps }) => steps)).toEqual(found.steps.map(({ index }) => index));
      }),
      { numRuns: 500 },
    );
    expect(sound).toBeGreaterThan(100);
  });

  it("does not depend on the order of nodes and fields in the file", async () => {
    await fc.assert(
      fc.asyncProperty(
        pipelines,
        fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 }),
        async (sketch, keys) => {
          let next = 0;
          const shuffle = <T>(items: readonly T[]): readonly T[] =>
            items
              .map((item) => [keys[next++ % keys.length] ?? 0, item] as const)
              .toSorted(([a], [b]) => a - b)
              .map(([, item]) => item);
          const [plain, shuffled] = [await load(yamlOf(sketch)), await load(yamlOf(sketch, shuffle))];
          expect(shuffled.ok).toBe(plain.ok);
          if (plain.ok && shuffled.ok)
            expect(meaning(shuffled.value.grid)).toEqual(meaning(plain.value.grid));
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("a step", () => {
  it("is pinned by `at` and agrees with its other input on the axes they share", async () => {
    const found = meaning(
      await grid(`
name: pinned
axes: { gamma: [0, 10], head: { probe: { w: 1 }, ran: { w: 2 } } }
nodes:
  train: { type: test.write, with: { text: $(gamma.label) } }
  tune: { type: test.join, in: { a: train }, with: { text: $(head.label) } }
  compare: { type: test.join, in: { a: tune, b: { from: tune, at: { gamma: 0 } } } }
  rows: { type: test.join, in: { many: { collect: tune, over: [head] } } }
  all: { type: test.join, in: { many: { collect: tune } } }
`),
    );
    expect(at(found, "compare[gamma=10,head=ran]")).toMatchObject({
      inputs: { a: "tune[gamma=10,head=ran]", b: "tune[gamma=0,head=ran]" },
    });
    expect(at(found, "rows[gamma=10]")).toMatchObject({
      inputs: {
        many: [
          ["tune[gamma=10,head=probe]", { head: "probe", "head.w": 1 }],
          ["tune[gamma=10,head=ran]", { head: "ran", "head.w": 2 }],
        ],
      },
    });
    expect((at(found, "all") as { inputs: { many: unknown[] } }).inputs.many).toHaveLength(4);
  });

  it("is trimmed with what it reads, and fields that trimmed steps lack are no mistake", async () => {
    const { steps } = await grid(
      `
name: trimmed
axes: { head: { probe: { method: probe }, ran: { method: ran, alpha: 0.5 } } }
nodes:
  tune: { type: test.seeded, with: { method: $(head.method) }, only: [{ head: ran }] }
  next: { type: test.join, in: { a: tune.text }, with: { text: $(head.alpha) } }
`.replace("$(head.alpha)", '"a $(head.alpha)"'),
    );
    expect(steps.map(({ id }) => id)).toEqual(["tune[head=ran]", "next[head=ran]"]);
    expect(steps[1]?.params).toEqual({ text: "a 0.5" });
  });
});

describe("a name that an input holds", () => {
  const yaml = `
name: named
inputs:
  size: small
  part: text
  sizes: { small: { type: test.write, text: s }, large: { type: test.join, text: l } }
  chosen: $(inputs.sizes.$(inputs.size))
axes: { kind: { a: { text: x, other: y }, b: { text: z, other: w } } }
nodes:
  plain: { type: $(inputs.sizes.$(inputs.size).type), with: { text: "<$(inputs.chosen.text)>" } }
  grid: { type: test.join, with: { text: $(kind.$(inputs.part)) } }
`;
  const texts = async (sets: readonly string[]): Promise<unknown> =>
    (await grid(yaml, sets)).steps.map(({ nodeType, params }) => [nodeType.type, params["text"]]);

  it("stands in the path of another and of an axis, and one setting changes it", async () => {
    expect(await texts([])).toEqual([
      ["test.write", "<s>"],
      ["test.join", "x"],
      ["test.join", "z"],
    ]);
    expect(await texts(["inputs.size=large", "inputs.part=other"])).toEqual([
      ["test.join", "<l>"],
      ["test.join", "y"],
      ["test.join", "w"],
    ]);
  });

  it.each([
    ["inputs.size=lagre", "unknown-input", "there is no input `sizes.lagre`", "large"],
    ["inputs.size=[small]", "interpolation-type", "`$(inputs.size)` is no name but a list", undefined],
    ["inputs.size=$(inputs.chosen.text)", "cycle", "made from itself", undefined],
    ["inputs.part=ohter", "unknown-field", "no value of axis `kind` has a field `ohter`", "other"],
  ])("with %s is the mistake %s", async (set, code, message, hint) => {
    const loaded = await load(yaml, [set]);
    const found = loaded.ok ? [] : loaded.error.filter((problem) => problem.code === code);
    expect(found.map((problem) => problem.message).join("\n")).toContain(message);
    if (hint === undefined) return;
    expect(found[0]?.hint).toContain(hint);
    // The name itself is in the setting.
    expect(found[0]?.related?.at(-1)).toMatchObject({ location: { file: { path: "--set", text: set } } });
  });

  it("is found to be made from itself through a field, too", async () => {
    const loaded = await load("name: p\ninputs: { a: $(inputs.b.x), b: $(inputs.a) }\nnodes: {}\n");
    expect(loaded.ok ? [] : loaded.error.map(({ code }) => code)).toContain("cycle");
  });

  it.each(["$(inputs.sizes.$(kind))", "$(inputs.$(inputs.size)", "$($(inputs.size))"])(
    "is not what %s is",
    async (text) => {
      const loaded = await load(
        `name: p\ninputs: { size: x }\nnodes: { a: { type: test.write, with: { text: "${text}" } } }\n`,
      );
      expect(loaded.ok ? [] : loaded.error.map(({ code }) => code)).toContain("interpolation-syntax");
    },
  );
});

describe("a path", () => {
  const pipeline = (root: string): string => `
name: paths
inputs: { root: ${root} }
nodes:
  files: { type: test.file, with: { root: $(inputs.root) } }
`;

  it.each([
    ["~/data/roco", join(homedir(), "data/roco")],
    ["/data/roco", "/data/roco"],
  ])("written as %s is absolute", async (written, absolute) => {
    expect((await grid(pipeline(written))).steps[0]?.params["root"]).toBe(absolute);
    expect((await grid(pipeline("x"), [`inputs.root=${written}`])).steps[0]?.params["root"]).toBe(absolute);
  });

  it("starts from the file that wrote it, with --set from the working directory", async () => {
    await writeFile(join(folder, "p.yaml"), pipeline("data"));
    const load = (sets: readonly string[]) =>
      loadGrid({ path: join(folder, "p.yaml"), cwd: "/somewhere", library, sets });
    expect(await load([])).toMatchObject({
      value: { grid: { steps: [{ params: { root: join(folder, "data") } }] } },
    });
    expect(await load(["inputs.root=data"])).toMatchObject({
      value: { grid: { steps: [{ params: { root: "/somewhere/data" } }] } },
    });
  });
});

it("expands 100,000 steps", async () => {
  const yaml = `
name: large
axes:
  run: [${Array.from({ length: 250 }, (_, i) => i).join(", ")}]
  gamma: [${Array.from({ length: 20 }, (_, i) => i).join(", ")}]
  head: { probe: { method: probe }, ran: { method: ran, alpha: 0.1 } }
nodes:
  data: { type: test.write, with: { text: $(run.label) } }
  noisy: { type: test.edit, in: { text: data, other: { from: data, at: { run: 0 } } }, with: { share: $(gamma) } }
  train: { type: test.join, in: { a: noisy, b: data } }
${Array.from({ length: 10 }, (_, i) => `  tune${i}: { type: test.seeded, in: { text: train }, with: [{ epochs: ${i + 1} }, $(head)] }`).join("\n")}
  rows: { type: test.join, in: { many: { collect: tune0.text } } }
`;
  const { steps } = await grid(yaml);
  expect(steps).toHaveLength(250 + 5_000 + 5_000 + 10 * 10_000 + 1);
  const last = steps.at(-1)?.inputs["many"];
  expect(last?.kind === "many" && last.items.length).toBe(10_000);
});
