import type { Resources } from "../model/grid.ts";
import type { SlotPool, Taken } from "./slots.ts";

/** A step that could start now, if there is a slot. */
export interface Ready {
  readonly step: number;
  readonly demand: Resources;
  /** Milliseconds of the longest path from the step's start to the end of the run. */
  readonly remaining: number;
}

/**
 * Steps that wait for slots. The longest remaining path goes first, then grid order. A step that does not fit holds
 * back, from those behind it, only the resources it is short of: big steps do not starve, and nothing idles for them
 * that they could not use.
 */
export interface ReadyQueue {
  readonly size: number;
  add(ready: Ready): void;
  remove(step: number): void;
  /** Puts the steps in order again, after remaining times became other ones. */
  reorder(remaining: (step: number) => number): void;
  /** Takes out the steps that can start now, with their slots. */
  start(pool: SlotPool): readonly { readonly step: number; readonly taken: Taken }[];
}

/** Steps with the same demand fit, or do not, together: one sorted list each, so that a pass costs what it starts. */
interface Lane {
  readonly demand: Resources;
  readonly heap: Ready[];
}

export function createReadyQueue(): ReadyQueue {
  const lanes = new Map<string, Lane>();
  const waiting = new Set<number>();

  /** The lane's first step; steps that were removed are dropped on the way. */
  const head = (lane: Lane): Ready | undefined => {
    while (lane.heap[0] && !waiting.has(lane.heap[0].step)) pop(lane.heap);
    return lane.heap[0];
  };

  return {
    get size() {
      return waiting.size;
    },
    add(ready) {
      const key = JSON.stringify(ready.demand);
      const lane = lanes.get(key) ?? { demand: ready.demand, heap: [] };
      lanes.set(key, lane);
      waiting.add(ready.step);
      push(lane.heap, ready);
    },
    remove: (step) => void waiting.delete(step),
    reorder(remaining) {
      for (const { heap } of lanes.values()) {
        const ready = heap.splice(0).filter(({ step }) => waiting.has(step));
        for (const one of ready) push(heap, { ...one, remaining: remaining(one.step) });
      }
    },
    start(pool) {
      const started: { step: number; taken: Taken }[] = [];
      const held = new Set<string>();
      const open = new Set(lanes.values());
      for (;;) {
        let best: { lane: Lane; ready: Ready } | undefined;
        for (const lane of open) {
          const ready = head(lane);
          if (!ready) open.delete(lane);
          else if (!best || before(ready, best.ready)) best = { lane, ready };
        }
        if (!best) return started;
        const { lane, ready } = best;
        const short = pool.short(ready.demand, held);
        if (short.length > 0) {
          for (const name of short) held.add(name);
          open.delete(lane);
          continue;
        }
        pop(lane.heap);
        waiting.delete(ready.step);
        started.push({ step: ready.step, taken: pool.take(ready.demand) });
      }
    },
  };
}

function before(a: Ready, b: Ready): boolean {
  return a.remaining !== b.remaining ? a.remaining > b.remaining : a.step < b.step;
}

/** Binary heap: the item that goes before all others is at 0. */
function push(heap: Ready[], item: Ready): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!before(item, heap[parent] as Ready)) break;
    heap[at] = heap[parent] as Ready;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Ready[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Ready, heap[child] as Ready)) child++;
    if (!before(heap[child] as Ready, last)) break;
    heap[at] = heap[child] as Ready;
    at = child;
  }
  heap[at] = last;
}
