import type { Store } from "../../cache/types.ts";
import type { Answerer } from "../executors/types.ts";
import { unreachable } from "../model/result.ts";

/** Answers what workers ask of the store's index, which only the driver opens. */
export function createAnswerer(store: Store): Answerer {
  return async (question) => {
    switch (question.what) {
      case "locate":
        await store.fetch(question.digests);
        return store.locate(question.digests).map((locator) => locator ?? null);
      case "memo-get":
        // Wrapped in a list each, so that a kept null is told from nothing kept.
        return store
          .memoGet(question.keys, question.since)
          .map((value) => (value === undefined ? null : [value]));
      case "memo-put":
        await store.memoPut(question.entries);
        return null;
      case "stat-get":
        return store.statGet(question.files).map((digest) => digest ?? null);
      case "stat-put":
        await store.statPut(question.files, question.at);
        return null;
      default:
        return unreachable(question);
    }
  };
}
