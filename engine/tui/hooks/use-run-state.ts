import { useSyncExternalStore } from "react";
import type { RunState } from "../../model/run-state.ts";
import type { RunStore } from "../store.ts";

/** The state that the store shows; renders again when it shows another. */
export function useRunState(store: RunStore): RunState {
  return useSyncExternalStore(store.subscribe, store.shown);
}
