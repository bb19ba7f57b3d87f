import type { Grid, GridNode, Resources, Step, StepInput } from "../model/grid.ts";
import type { StepId } from "../model/ids.ts";
import type { JsonObject } from "../model/json.ts";
import type { SlurmOptions } from "../model/slurm.ts";
import { linksOf } from "../plan/links.ts";
import type { NodeType } from "../sdk.ts";

/** Steps, with all that they read, directly or through others, in ascending order. */
export function withUpstream(grid: Grid, steps: Iterable<number>): readonly number[] {
  return reached(grid, steps, linksOf(grid.steps).upstream);
}

/** Steps, with all that reads them, directly or through others, in ascending order. */
export function withDownstream(grid: Grid, steps: Iterable<number>): readonly number[] {
  return reached(grid, steps, linksOf(grid.steps).readers);
}

function reached(grid: Grid, steps: Iterable<number>, next: (step: number) => Int32Array): readonly number[] {
  const seen = new Uint8Array(grid.steps.length);
  const queue = [...steps];
  for (const index of queue) seen[index] = 1;
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    for (const other of next(index)) {
      if (seen[other]) continue;
      seen[other] = 1;
      queue.push(other);
    }
  }
  return grid.steps.flatMap(({ index }) => (seen[index] ? [index] : []));
}

/**
 * The grid of some steps and of all that they read: what a run of these steps needs, and nothing else. Steps keep
 * their ids and their order; inputs that no step reads are left out where what they name is not there.
 */
export function restrict(grid: Grid, steps: Iterable<number>): Grid {
  const kept = withShards(grid, withUpstream(grid, steps));
  if (kept.length === grid.steps.length) return grid;
  const indexOf = new Int32Array(grid.steps.length).fill(-1);
  kept.forEach((old, index) => (indexOf[old] = index));
  const nodes = grid.nodes.flatMap((node): readonly GridNode[] => {
    const own = node.steps.map((old) => indexOf[old] ?? -1).filter((index) => index >= 0);
    return own.length > 0 ? [{ ...node, steps: own }] : [];
  });
  const smaller = kept.map((old, index) => {
    const step = grid.steps[old] as Step;
    const shards = step.shards?.map((shard) => indexOf[shard] ?? -1);
    return new ChangedStep(step, { index, inputs: () => rewired(step, indexOf), shards });
  });
  return { ...grid, nodes, steps: smaller };
}

/** Steps, with those that make their items, which read what they read. */
function withShards(grid: Grid, steps: readonly number[]): readonly number[] {
  const shards = steps.flatMap((index) => grid.steps[index]?.shards ?? []);
  return shards.length > 0 ? [...new Set([...steps, ...shards])].toSorted((a, b) => a - b) : steps;
}

function rewired(step: Step, indexOf: Int32Array): Step["inputs"] {
  const inputs: Record<string, StepInput> = {};
  for (const [name, input] of Object.entries(step.inputs)) {
    if (input.kind === "one") {
      const index = indexOf[input.step] ?? -1;
      if (index >= 0) inputs[name] = { ...input, step: index };
      continue;
    }
    const items = input.items.map((item) => ({ ...item, step: indexOf[item.step] ?? -1 }));
    if (items.every((item) => item.step >= 0)) inputs[name] = { kind: "many", items };
  }
  return inputs;
}

/** A step as it is in another grid than the one that it was expanded for. */
export class ChangedStep implements Required<Step> {
  readonly index: number;
  readonly #original: Step;
  readonly #id: StepId | undefined;
  readonly #inputs: () => Step["inputs"];
  readonly #shards: readonly number[] | undefined;

  constructor(
    original: Step,
    change: {
      readonly index: number;
      readonly id?: StepId;
      readonly inputs: () => Step["inputs"];
      readonly shards: readonly number[] | undefined;
    },
  ) {
    this.index = change.index;
    this.#original = original;
    this.#id = change.id;
    this.#inputs = change.inputs;
    this.#shards = change.shards;
  }

  get id(): StepId {
    return this.#id ?? this.#original.id;
  }

  get node(): string {
    return this.#original.node;
  }

  get nodeType(): NodeType {
    return this.#original.nodeType;
  }

  get point(): Readonly<Record<string, string>> {
    return this.#original.point;
  }

  get params(): JsonObject {
    return this.#original.params;
  }

  get inputs(): Readonly<Record<string, StepInput>> {
    return this.#inputs();
  }

  get reads(): readonly string[] {
    return this.#original.reads;
  }

  get seed(): number {
    return this.#original.seed;
  }

  get resources(): Resources {
    return this.#original.resources;
  }

  get retries(): number {
    return this.#original.retries;
  }

  get timeout(): number | undefined {
    return this.#original.timeout;
  }

  get slurm(): SlurmOptions | undefined {
    return this.#original.slurm;
  }

  get cache(): boolean {
    return this.#original.cache;
  }

  get shard(): Step["shard"] {
    return this.#original.shard;
  }

  get shards(): Step["shards"] {
    return this.#shards;
  }
}
