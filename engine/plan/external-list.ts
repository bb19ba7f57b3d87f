import { readFileSync } from "node:fs";
import { parseExternalList } from "../../cache/locators.ts";
import type { Store } from "../../cache/types.ts";
import type { Digest } from "../model/ids.ts";
import type { ExternalFile } from "../model/plan.ts";

/** The names and digests of an external list; undefined where it is not in the store any more. */
export function readExternalList(store: Store, list: Digest): readonly ExternalFile[] | undefined {
  try {
    return parseExternalList(readFileSync(store.objects.path(list), "utf8"));
  } catch {
    return undefined;
  }
}
