import { canonicalJson } from "../../cache/canonical.ts";
import type { Store } from "../../cache/types.ts";
import type { Digest } from "../model/ids.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { StoredResult } from "../model/plan.ts";

/** What a step of some type took. */
export interface StepRecord {
  readonly params: JsonObject;
  /** Each parameter as canonical JSON, to be compared. */
  readonly texts: ReadonlyMap<string, string>;
  /** Undefined where the time says nothing: items were taken from the memo. */
  readonly milliseconds: number | undefined;
  /** By output port. */
  readonly bytes: Readonly<Record<string, number>>;
  /** Of all outputs. */
  readonly written: number;
  /** Kept besides the outputs. */
  readonly stored: number;
  /** Bytes that it read on each input; NaN where what it read is forgotten. */
  readonly inputs: Readonly<Record<string, number>>;
}

/** Of a larger store, a sample is looked at: keys are hashes, so that any part of them is one. */
const mostResults = 20_000;
/** So many of a type, the latest, say enough about it. */
const recordsKept = 32;

/** What the store's results say about steps of these node types, the latest first. */
export function recordsOf(
  store: Store,
  types: ReadonlySet<string>,
): ReadonlyMap<string, readonly StepRecord[]> {
  const sizes = new Map<Digest, number>();
  const found = new Map<string, StoredResult[]>();
  for (const key of store.keys().slice(0, mostResults)) {
    const result = store.result(key);
    if (!result) continue;
    for (const { digest, size } of Object.values(result.outputs)) sizes.set(digest, size);
    const { shard, type } = result.fingerprint;
    if (shard || !types.has(type)) continue;
    const others = found.get(type);
    if (others) others.push(result);
    else found.set(type, [result]);
  }
  return new Map(
    [...found].map(([type, results]) => [
      type,
      results
        .toSorted((a, b) => b.provenance.finishedAt - a.provenance.finishedAt)
        .slice(0, recordsKept)
        .map((result) => recordOf(result, sizes)),
    ]),
  );
}

function recordOf(
  { fingerprint, outputs, provenance }: StoredResult,
  sizes: ReadonlyMap<Digest, number>,
): StepRecord {
  const { compute = {}, finishedAt, startedAt } = provenance;
  const sizeOf = (digest: Digest): number => sizes.get(digest) ?? Number.NaN;
  return {
    params: fingerprint.params,
    texts: paramTexts(fingerprint.params),
    milliseconds: numberIn(compute["items"], "fromMemo") > 0 ? undefined : finishedAt - startedAt,
    bytes: Object.fromEntries(Object.entries(outputs).map(([port, { size }]) => [port, size])),
    written: Object.values(outputs).reduce((sum, { size }) => sum + size, 0),
    stored: numberIn(compute["stored"], "bytes"),
    inputs: Object.fromEntries(
      Object.entries(fingerprint.inputs).map(([name, input]) => [
        name,
        typeof input === "string"
          ? sizeOf(input)
          : input.reduce((sum, { digest }) => sum + sizeOf(digest), 0),
      ]),
    ),
  };
}

/** Parameters as texts that are equal where their values are. */
export function paramTexts(params: JsonObject): ReadonlyMap<string, string> {
  return new Map(Object.entries(params).map(([name, value]) => [name, canonicalJson(value ?? null)]));
}

/** A number that a step said of itself; 0 where it said none. */
function numberIn(said: Json | undefined, name: string): number {
  if (typeof said !== "object" || said === null || Array.isArray(said)) return 0;
  const value = (said as JsonObject)[name];
  return typeof value === "number" ? value : 0;
}
