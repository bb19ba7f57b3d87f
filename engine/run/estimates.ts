import type { Store } from "../../cache/types.ts";
import type { Grid, Step } from "../model/grid.ts";

/** How long steps take, as far as steps like them were timed. */
export interface Estimates {
  /** Milliseconds; undefined where nothing like the step was ever timed. */
  expected(step: number): number | undefined;
  /**
   * A step took so many milliseconds.
   *
   * @returns whether this is the first that is known of its node, so that expectations change
   */
  record(step: number, milliseconds: number): boolean;
}

/** So many of a node's latest times decide what its untimed steps are expected to take. */
const timesKept = 9;
/** Of a node with more steps, only so many results are looked up: the others take what those took. */
const mostRead = 1_000;

export interface EstimateOptions {
  readonly grid: Grid;
  readonly store: Store;
  /** Whether a step may have to be executed. */
  readonly isOpen: (step: number) => boolean;
}

/**
 * What a step's own last result took is the best guess: most edits change what it computes, not how much. A step that
 * has none takes as long as the others of its node, and where none of these was timed, as others of its node type.
 */
export function createEstimates({ grid, isOpen, store }: EstimateOptions): Estimates {
  const own = new Float64Array(grid.steps.length).fill(Number.NaN);
  const ofNode = new Map<string, number[]>();
  const ofType = new Map<string, number | undefined>();

  const keep = (node: string, milliseconds: number): void => {
    const times = ofNode.get(node);
    if (!times) ofNode.set(node, [milliseconds]);
    else if (times.push(milliseconds) > timesKept) times.shift();
  };
  const typical = ({ node, nodeType: { type } }: Step): number | undefined => {
    const times = ofNode.get(node);
    if (times) return median(times);
    if (!ofType.has(type)) ofType.set(type, store.duration(type));
    return ofType.get(type);
  };
  for (const { steps } of grid.nodes) {
    const open = steps.filter(isOpen);
    const stride = Math.ceil(open.length / mostRead);
    for (let i = 0; i < open.length; i += stride) {
      const { id, index, node } = grid.steps[open[i] as number] as Step;
      const pointer = store.pointer(grid.pipeline, id);
      const made = pointer && store.result(pointer.key)?.provenance;
      if (!made) continue;
      own[index] = made.finishedAt - made.startedAt;
      keep(node, made.finishedAt - made.startedAt);
    }
  }

  return {
    expected: (index) => {
      const milliseconds = own[index] as number;
      return Number.isNaN(milliseconds) ? typical(grid.steps[index] as Step) : milliseconds;
    },
    record: (index, milliseconds) => {
      const step = grid.steps[index] as Step;
      const isFirst = typical(step) === undefined;
      if (isFirst) ofType.set(step.nodeType.type, milliseconds);
      keep(step.node, milliseconds);
      return isFirst;
    },
  };
}

function median(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
