import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadBackend, openRuntime } from "../../nodes/compute/runtime.ts";
import type { BackendName, Runtime } from "../../nodes/compute/types.ts";

/** One entry of the golden folder's `index.json`. */
export interface GoldenCase {
  readonly id: string;
  /** Role -> path relative to the golden folder. */
  readonly files: Readonly<Record<string, string>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly tolerance: Readonly<Record<string, unknown>>;
}

/** RANFLOW_GOLDEN, or `../shared/golden` beside the repository. */
export const goldenFolder = resolve(
  process.env["RANFLOW_GOLDEN"] ?? join(import.meta.dirname, "../../../shared/golden"),
);

/** The cases whose id begins with `prefix`; none where the golden folder is absent. */
export function goldenCases(prefix: string): readonly GoldenCase[] {
  const index = join(goldenFolder, "index.json");
  if (!existsSync(index)) return [];
  const { cases } = JSON.parse(readFileSync(index, "utf8")) as { cases: readonly GoldenCase[] };
  return cases.filter(({ id }) => id.startsWith(prefix));
}

/** Absolute path of a case's file. */
export function goldenFile(golden: GoldenCase, role: string): string {
  const name = golden.files[role];
  if (name === undefined) throw new Error(`golden case ${golden.id} has no file ${role}`);
  return join(goldenFolder, name);
}

/** A case's JSON file. */
export function goldenJson<T>(golden: GoldenCase, role: string): T {
  return JSON.parse(readFileSync(goldenFile(golden, role), "utf8")) as T;
}

/** A backend to run parity on: `runtime` opens it, `skip` says why it cannot. */
export interface ParityBackend {
  readonly name: BackendName;
  readonly skip: boolean;
  readonly runtime: () => Promise<Runtime>;
}

/** The two backends that parity holds on; one that does not load here is marked to be skipped visibly. */
export async function parityBackends(): Promise<readonly ParityBackend[]> {
  const backends: ParityBackend[] = [];
  for (const name of ["tensorflow", "wasm"] as const) {
    const load = await loadBackend(name, 1);
    backends.push({ name, skip: !load.ok, runtime: () => openRuntime({ backend: name, threads: 1 }) });
  }
  return backends;
}
