import type { RunId } from "../engine/model/ids.ts";
import type { TagEntry } from "./index-db.ts";
import type { Tag } from "./types.ts";

/**
 * Whether a text can name a tag: letters, digits and `._+-`, beginning with a letter or digit, at most 100 of them.
 * Nothing that a path, an option or a run's id could be mistaken for.
 */
export function isTagName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/.test(text) && !/^\d{8}-\d{6}/.test(text) && text !== "latest";
}

/** A tag from its entry in the index. */
export function tagOf(name: string, [at, pipeline, run, roster]: TagEntry): Tag {
  return { name, at, pipeline, ...(run !== "" && { run: run as RunId }), roster };
}
