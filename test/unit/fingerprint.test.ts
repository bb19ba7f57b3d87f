import { z } from "zod";
import { describe, expect, it } from "vitest";
import {
  fingerprintOf,
  fingerprintParams,
  keyOf,
  needsScan,
  recipeKeyOf,
  recipeOf,
  upstreamOf,
} from "../../engine/plan/fingerprint.ts";
import { fieldChanges } from "../../engine/plan/changes.ts";
import { defineNode } from "../../engine/sdk.ts";
import type { Json } from "../../engine/sdk.ts";
import type { Fingerprint } from "../../engine/model/fingerprint.ts";
import type { Step } from "../../engine/model/grid.ts";
import type { Digest, RecipeKey } from "../../engine/model/ids.ts";
import fc from "../rig/fast-check.ts";
import { echo, gather, gridOf, loader, seeded } from "./plan-rig.ts";

const digest = (n: number): Digest => `sha256:${n.toString(16).padStart(64, "0")}` as Digest;
const outputs = (n: number) => ({ out: { digest: digest(n), kind: "file", size: 1 } }) as const;
const only = (step: Step | undefined): Step => step as Step;

const typed = defineNode({
  type: "test.params",
  version: 3,
  summary: "Has every kind of parameter",
  inputs: {},
  outputs: {},
  params: z.object({
    plain: z.number(),
    concurrency: z.number().default(2).meta({ ephemeral: true }),
    token: z.string().default("TOKEN").meta({ secretEnv: true }),
    rate: z.number().default(0).meta({ neutral: 0 }),
    list: z.array(z.number()).default([]).meta({ neutral: [] }),
    file: z.string().optional().meta({ path: true }),
  }),
  run: async () => {},
});

describe("the parameters of a fingerprint", () => {
  it("leave out what cannot change results", () => {
    const params = { plain: 1, concurrency: 8, token: "HF_TOKEN", rate: 0, list: [] };
    expect(fingerprintParams(typed, params)).toEqual({ plain: 1 });
    expect(fingerprintParams(typed, { ...params, rate: 0.5, list: [1] })).toEqual({
      plain: 1,
      rate: 0.5,
      list: [1],
    });
  });

  it("leave out paths where a scan tells their content, and only there", () => {
    expect(fingerprintParams(loader, { root: "/a", n: 1 })).toEqual({ n: 1 });
    expect(fingerprintParams(typed, { plain: 1, file: "/a" })).toEqual({ plain: 1, file: "/a" });
  });
});

describe("a fingerprint", () => {
  it("waits for its inputs", () => {
    const [, use] = gridOf([{ id: "data" }, { id: "use", in: { a: "data" } }]).steps;
    expect(fingerprintOf(only(use), () => undefined)).toBeUndefined();
    expect(fingerprintOf(only(use), () => outputs(1))).toEqual({
      type: "test.echo",
      version: 1,
      params: { n: 0, deep: {} },
      inputs: { a: digest(1) },
    });
  });

  it("has the seed of seeded node types only", () => {
    const [plain, random] = gridOf([
      { id: "a", seed: 3 },
      { id: "b", seed: 3, type: seeded },
    ]).steps;
    expect(fingerprintOf(only(plain), () => undefined)).not.toHaveProperty("seed");
    expect(fingerprintOf(only(random), () => undefined)).toHaveProperty("seed", 3);
  });

  it("lists what a port collects, with coordinates and in order", () => {
    const rows = [
      [{ g: "10" }, "x"],
      [{ g: "0" }, "y"],
    ] as const;
    const { steps } = gridOf([{ id: "x" }, { id: "y" }, { id: "all", type: gather, in: { rows } }]);
    const all = only(steps[2]);
    expect(upstreamOf(all)).toEqual([0, 1]);
    const fingerprint = fingerprintOf(all, (step) => outputs(step + 1));
    expect(fingerprint?.inputs).toEqual({
      rows: [
        { at: { g: "10" }, digest: digest(1) },
        { at: { g: "0" }, digest: digest(2) },
      ],
    });
    const turned = gridOf([
      { id: "x" },
      { id: "y" },
      { id: "all", type: gather, in: { rows: rows.toReversed() } },
    ]);
    const other = fingerprintOf(only(turned.steps[2]), (step) => outputs(step + 1)) as Fingerprint;
    expect(keyOf(other)).not.toBe(keyOf(fingerprint as Fingerprint));
  });
});

describe("a scan", () => {
  it("is needed where the node type can and a path is set", () => {
    const { steps } = gridOf([
      { id: "a", type: loader, params: { root: "/data" } },
      { id: "b", type: loader },
      { id: "c", type: echo },
    ]);
    expect(steps.map(needsScan)).toEqual([true, false, false]);
  });
});

describe("a recipe", () => {
  it("has paths and upstream recipes, and tells other seeds and folders apart", () => {
    const { steps } = gridOf([
      { id: "a", type: loader, params: { root: "/a" } },
      { id: "b", type: loader, params: { root: "/b" } },
      { id: "c", in: { a: "a" } },
    ]);
    const [a, b, c] = steps.map(only);
    const none = (): RecipeKey => "none" as RecipeKey;
    expect(recipeOf(a as Step, none).params).toEqual({ root: "/a", n: 0 });
    expect(recipeKeyOf(recipeOf(a as Step, none))).not.toBe(recipeKeyOf(recipeOf(b as Step, none)));
    expect(recipeOf(c as Step, () => "up" as RecipeKey).inputs).toEqual({ a: "up.out" });
  });
});

const fingerprints = fc.record({
  type: fc.constantFrom("a.b", "a.c"),
  version: fc.integer({ min: 1, max: 3 }),
  params: fc.dictionary(fc.constantFrom("n", "epochs", "deep"), fc.jsonValue({ maxDepth: 2 })),
  inputs: fc.dictionary(
    fc.constantFrom("a", "b"),
    fc.oneof(
      fc.nat(3).map(digest),
      fc.array(
        fc.record({ at: fc.record({ g: fc.constantFrom("0", "5") }), digest: fc.nat(3).map(digest) }),
        { maxLength: 3 },
      ),
    ),
  ),
  seed: fc.integer({ min: 0, max: 2 }),
}) as fc.Arbitrary<Fingerprint>;

describe("keys", () => {
  it("do not depend on the order of keys", () => {
    fc.assert(
      fc.property(fingerprints, (fingerprint) => {
        const turned = Object.fromEntries(Object.entries(fingerprint).toReversed()) as unknown as Fingerprint;
        const params = Object.fromEntries<Json>(Object.entries(fingerprint.params).toReversed());
        expect(keyOf({ ...turned, params })).toBe(keyOf(fingerprint));
      }),
    );
  });

  it("differ exactly where a field differs: the explanation and the hash see the same record", () => {
    fc.assert(
      fc.property(fingerprints, fingerprints, (a, b) => {
        const changes = fieldChanges(a, b);
        expect(changes.length === 0).toBe(keyOf(a) === keyOf(b));
        expect(fieldChanges(a, a)).toEqual([]);
        for (const { before, after } of changes) expect(before).not.toEqual(after);
      }),
      { numRuns: 300 },
    );
  });
});

describe("field changes", () => {
  const base: Fingerprint = { type: "a.b", version: 1, params: {}, inputs: {} };

  it("go down to the leaf", () => {
    const before = { ...base, params: { opt: { lr: 0.1, steps: [1, 2] }, gone: true } };
    const after = { ...base, version: 2, params: { opt: { lr: 0.2, steps: [1, 3] }, fresh: null } };
    expect(fieldChanges(before, after)).toEqual([
      { field: "version", before: 1, after: 2 },
      { field: "params.fresh", after: null },
      { field: "params.gone", before: true },
      { field: "params.opt.lr", before: 0.1, after: 0.2 },
      { field: "params.opt.steps[1]", before: 2, after: 3 },
    ]);
  });

  it("of lists name the items, unless there are more or fewer of them, or most are others", () => {
    const changes = (before: Json, after: Json): unknown =>
      fieldChanges({ ...base, params: { list: before } }, { ...base, params: { list: after } });
    expect(changes(["train.py", "--lr", "1", { a: 1 }], ["train.py", "--lr", "2", { a: 3 }])).toEqual([
      { field: "params.list[2]", before: "1", after: "2" },
      { field: "params.list[3].a", before: 1, after: 3 },
    ]);
    expect(changes([1, 2], [1, 2, 3])).toEqual([{ field: "params.list", before: [1, 2], after: [1, 2, 3] }]);
    expect(changes([1, 2, 3, 4], [5, 6, 7, 8])).toHaveLength(1);
  });

  it("name collected inputs by their coordinates, and an order that alone changed", () => {
    const row = (g: string, n: number) => ({ at: { noise: "image", g }, digest: digest(n) });
    const rows = (...items: readonly ReturnType<typeof row>[]): Fingerprint => ({
      ...base,
      inputs: { rows: items },
    });
    expect(fieldChanges(rows(row("0", 1), row("5", 2)), rows(row("0", 1), row("5", 3), row("9", 4)))).toEqual(
      [
        { field: "inputs.rows[noise=image,g=5]", before: digest(2), after: digest(3) },
        { field: "inputs.rows[noise=image,g=9]", after: digest(4) },
      ],
    );
    expect(fieldChanges(rows(row("0", 1), row("5", 2)), rows(row("5", 2), row("0", 1)))).toMatchObject([
      { field: "inputs.rows.order" },
    ]);
  });
});
