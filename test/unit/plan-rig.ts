import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { openStore } from "../../cache/store.ts";
import type { Store } from "../../cache/types.ts";
import { createPlanner } from "../../engine/plan/planner.ts";
import type { Action, Planner } from "../../engine/plan/types.ts";
import { defineNode, port } from "../../engine/sdk.ts";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import type { ArtifactRef } from "../../engine/model/artifact.ts";
import type { Fingerprint } from "../../engine/model/fingerprint.ts";
import type { Grid, Step, StepInput } from "../../engine/model/grid.ts";
import type { RunId, StepId } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";

/** A node type whose output is a text made from its fingerprint: as deterministic as a step should be. */
export const echo: NodeType = defineNode({
  type: "test.echo",
  version: 1,
  summary: "Writes what it was given",
  inputs: { a: port("text", { optional: true }), b: port("text", { optional: true }) },
  outputs: { out: port("text") },
  params: z.object({
    n: z.number().default(0),
    note: z.string().default("").meta({ ephemeral: true }),
    later: z.boolean().default(false).meta({ neutral: false }),
    deep: z.record(z.string(), z.number()).default({}),
  }),
  run: async () => {},
});

/** A node type that reads external files. */
export const loader: NodeType = defineNode({
  type: "test.loader",
  version: 1,
  summary: "Reads a file",
  inputs: {},
  outputs: { out: port("text") },
  params: z.object({
    root: z.string().nullable().default(null).meta({ path: true }),
    n: z.number().default(0),
  }),
  scan: async () => undefined,
  run: async () => {},
});

export const seeded: NodeType = defineNode({
  ...(echo as never as Parameters<typeof defineNode>[0]),
  type: "test.seeded",
  seeded: true,
});

export const gather: NodeType = defineNode({
  type: "test.gather",
  version: 1,
  summary: "Joins what it collects",
  inputs: { rows: port("text", { many: true }) },
  outputs: { out: port("text") },
  params: z.object({ n: z.number().default(0) }),
  run: async () => {},
});

export interface StepSketch {
  readonly id: string;
  readonly type?: NodeType;
  readonly params?: JsonObject;
  /** Input port -> id of the upstream step, or coordinates and ids. */
  readonly in?: Readonly<
    Record<string, string | readonly (readonly [at: Record<string, string>, id: string])[]>
  >;
  readonly reads?: readonly string[];
  readonly seed?: number;
  readonly cache?: boolean;
}

/** A grid of sketched steps, each a node of its own, in the order given. */
export function gridOf(sketches: readonly StepSketch[], pipeline = "p"): Grid {
  const indices = new Map(sketches.map(({ id }, index) => [id, index]));
  const indexOf = (id: string): number => {
    const index = indices.get(id);
    if (index === undefined) throw new Error(`no step ${id}`);
    return index;
  };
  const steps = sketches.map((sketch, index): Step => {
    const inputs: Record<string, StepInput> = {};
    for (const [name, from] of Object.entries(sketch.in ?? {})) {
      inputs[name] =
        typeof from === "string"
          ? { kind: "one", step: indexOf(from), port: "out" }
          : {
              kind: "many",
              items: from.map(([at, id], binding) => ({ at, step: indexOf(id), port: "out", binding })),
            };
    }
    const nodeType = sketch.type ?? echo;
    return {
      index,
      id: sketch.id as StepId,
      node: sketch.id,
      nodeType,
      point: {},
      params: nodeType.params.parse(sketch.params ?? {}) as JsonObject,
      inputs,
      reads: sketch.reads ?? Object.keys(inputs),
      seed: sketch.seed ?? 7,
      resources: { cpu: 1, memory: 0, gpu: 0, other: {} },
      retries: 0,
      cache: sketch.cache ?? true,
    };
  });
  const location = { file: { path: "p.yaml", text: "" }, start: 0, end: 0 };
  const nodes = steps.map(({ index, id, nodeType }) => ({
    name: id as string,
    type: nodeType.type,
    axes: [],
    steps: [index],
    location,
  }));
  return { pipeline, path: "/p.yaml", axes: {}, nodes, steps };
}

/** A store in a folder of its own, and what it takes to be rid of both. */
export async function temporaryStore(): Promise<{ store: Store; remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "ranflow-store-"));
  const opened = await openStore({ root });
  if (!opened.ok) throw new Error(opened.error.message);
  return {
    store: opened.value,
    remove: async () => {
      await opened.value.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** What a step's execution gives: the text of its only output. */
export type Work = (step: Step, fingerprint: Fingerprint) => string | Promise<string>;

const honest: Work = (_, fingerprint) =>
  `out ${createHash("sha256").update(JSON.stringify(fingerprint)).digest("hex").slice(0, 16)}`;

export interface Executed {
  readonly planner: Planner;
  /** Ids of the steps that were executed, in order. */
  readonly executed: readonly string[];
  readonly actions: readonly Action[];
}

/** Plans a grid and does what the planner says, as the scheduler would, one step at a time. */
export async function execute(
  grid: Grid,
  store: Store,
  options: {
    readonly work?: Work;
    readonly force?: (step: number) => boolean;
    readonly scan?: (step: Step) => Parameters<Planner["scanned"]>[1];
  } = {},
): Promise<Executed> {
  const planner = createPlanner({ grid, store, ...(options.force && { force: options.force }) });
  const executed: string[] = [];
  const all: Action[] = [];
  const run = "20260101-000000-0000" as RunId;
  await planner.start();
  for (let actions = planner.takeActions(); actions.length > 0; actions = planner.takeActions()) {
    // One at a time, so that what a step changes for the others is seen.
    for (const action of actions) {
      all.push(action);
      const step = grid.steps[action.step] as Step;
      if (action.kind === "scan") await planner.scanned(action.step, options.scan?.(step));
      if (action.kind === "run") {
        executed.push(step.id);
        const fingerprint = planner.fingerprint(action.step) as Fingerprint;
        const bytes = Buffer.from(await (options.work ?? honest)(step, fingerprint));
        const out: ArtifactRef = { ...(await store.objects.putBytes(bytes)), kind: "file" };
        const result = resultOf(action.key, fingerprint, { out });
        if (action.rebuild || !step.cache || action.why.kind === "forced") await store.replace(result);
        else await store.commit(result);
        await planner.finished(action.step, result);
      }
      const key = planner.key(action.step);
      if (key && action.kind !== "scan") await store.point(grid.pipeline, [[step.id, { key, run }]]);
    }
  }
  return { planner, executed, actions: all };
}

export function resultOf(
  key: StoredResult["key"],
  fingerprint: Fingerprint,
  outputs: Readonly<Record<string, ArtifactRef>>,
  finishedAt = 2_000,
): StoredResult {
  const provenance = { startedAt: 1_000, finishedAt, runId: "r", host: "h", ranflow: "0", node: "n" };
  return { key, fingerprint, outputs, provenance };
}
