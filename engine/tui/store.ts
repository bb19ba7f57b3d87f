import type { RunEvent } from "../model/events.ts";
import { initialRunState, reduce } from "../model/run-state.ts";
import type { RunState } from "../model/run-state.ts";

/** The run's state for React: takes events as fast as they come, and shows a new state at most so often. */
export interface RunStore {
  event(event: RunEvent): void;
  /** The newest state. */
  current(): RunState;
  /** The state that is shown. The same object until listeners are told. */
  shown(): RunState;
  subscribe(listener: () => void): () => void;
  /** Shows nothing new any more. */
  stop(): void;
}

/** Twelve frames a second look smooth and leave ssh connections alone. */
const frameInterval = 80;

/** Drawing may take this share of the driver's time: the run's own work comes first. */
const drawingShare = 0.2;
const longestInterval = 500;

/** A store that tells its listeners at most every `interval` ms, and less often where they take long. */
export function createRunStore(initial: RunState = initialRunState, interval = frameInterval): RunStore {
  let current = initial;
  let shown = initial;
  let timer: NodeJS.Timeout | undefined;
  const listeners = new Set<() => void>();
  let pause = interval;
  const show = (): void => {
    timer = undefined;
    shown = current;
    const started = performance.now();
    for (const listener of listeners) listener();
    const took = performance.now() - started;
    pause = Math.max(interval, Math.min(longestInterval, took / drawingShare));
  };
  return {
    event(event) {
      current = reduce(current, event);
      timer ??= setTimeout(show, pause).unref();
    },
    current: () => current,
    shown: () => shown,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop() {
      clearTimeout(timer);
      listeners.clear();
    },
  };
}
