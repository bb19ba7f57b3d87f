import { readFile } from "node:fs/promises";
import type { Scalar } from "../model/json.ts";

/** What a step measured, by name. */
export type Metrics = Readonly<Record<string, Scalar>>;

/**
 * The scalar fields of a metrics file; a node, or somebody who shared a result, that wrote something else gets what can
 * be shown of it. Undefined where that is nothing, or the file is gone.
 */
export async function readMeasured(path: string): Promise<Metrics | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value).filter(
    ([, field]) => field === null || ["boolean", "number", "string"].includes(typeof field),
  );
  return Object.fromEntries(entries) as Metrics;
}
