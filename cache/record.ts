import type { StoredResult } from "../engine/model/plan.ts";
import { isDigest } from "./hash.ts";
import { isKey, keyOf } from "./key.ts";

/**
 * What is wrong with a result's record as it lies in an index or a shared folder; undefined for a sound one. The key is
 * computed again from the fingerprint, and names that could lead out of a folder are refused.
 */
export function recordProblem(key: string, record: unknown): string | undefined {
  if (!isObject(record)) return "is no record of a result";
  const { fingerprint, outputs, provenance } = record;
  if (record["key"] !== key || !isKey(key)) return `says that its key is ${printed(record["key"])}`;
  if (!isFingerprint(fingerprint)) return "has no fingerprint that can be read";
  if (!isObject(outputs) || !Object.entries(outputs).every(([port, output]) => isOutput(port, output)))
    return "has outputs that cannot be read";
  if (!isObject(provenance) || !isTime(provenance["startedAt"]) || !isTime(provenance["finishedAt"]))
    return "does not say when it was made";
  if (typeof provenance["runId"] !== "string") return "does not say which run made it";
  const computed = keyOfUntrusted(fingerprint);
  return computed === key ? undefined : "has a fingerprint that another key belongs to";
}

/** Whether a relative POSIX path stays in its folder, whatever the system: what a file in an artifact may be called. */
export function isSafePath(name: string): boolean {
  if (name === "" || name.length > 4_096 || /[\\\0]/.test(name) || /^[A-Za-z]:/.test(name)) return false;
  return name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** Too deep a nesting overflows the stack of the hasher: such a fingerprint is none of ours. */
function keyOfUntrusted(fingerprint: StoredResult["fingerprint"]): string | undefined {
  try {
    return keyOf(fingerprint);
  } catch {
    return undefined;
  }
}

function isFingerprint(value: unknown): value is StoredResult["fingerprint"] {
  if (!isObject(value)) return false;
  const { type, version, params, inputs, external } = value;
  if (typeof type !== "string" || typeof version !== "number" || !isObject(params) || !isObject(inputs))
    return false;
  if (external !== undefined && !(isObject(external) && isDigest(external["digest"]))) return false;
  return Object.values(inputs).every(
    (input) =>
      isDigest(input) ||
      (Array.isArray(input) &&
        input.every((item) => isObject(item) && isObject(item["at"]) && isDigest(item["digest"]))),
  );
}

/** Ports name folders where `show --to` copies outputs. */
function isOutput(port: string, value: unknown): boolean {
  if (!isSafePath(port) || port.includes("/") || !isObject(value)) return false;
  const { digest, kind, size } = value;
  return isDigest(digest) && (kind === "file" || kind === "folder") && isTime(size);
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function printed(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 80) : typeof value;
}
