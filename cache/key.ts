import type { Fingerprint } from "../engine/model/fingerprint.ts";
import type { Key } from "../engine/model/ids.ts";
import type { Json } from "../engine/model/json.ts";
import { taggedHash } from "./hash.ts";

/** The hash of a fingerprint: names the step's result in the store. */
export function keyOf(fingerprint: Fingerprint): Key {
  return taggedHash("ranflow/fingerprint/1", fingerprint as unknown as Json) as Key;
}

/** True for `<64 hex>`. */
export function isKey(text: unknown): text is Key {
  return typeof text === "string" && /^[0-9a-f]{64}$/.test(text);
}
