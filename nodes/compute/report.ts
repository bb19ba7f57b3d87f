import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { backendNames, fixFor, type BackendLoad } from "./runtime.ts";
import type { BackendName } from "./types.ts";

/** What `ranflow doctor` and `ranflow backend list` say about a backend. */
export interface BackendStatus {
  readonly backend: BackendName;
  readonly available: boolean;
  /** The one that `auto` takes. */
  readonly best: boolean;
  /** Versions and device, where it is available. */
  readonly versions: Readonly<Record<string, string>>;
  /** Why it is not available. */
  readonly reasons: readonly string[];
  /** What to do about it, where it is not available. */
  readonly fix?: string;
}

/** Tries every backend, each in a process of its own. */
export async function backendReport(): Promise<readonly BackendStatus[]> {
  const loads = await Promise.all(backendNames.map((backend) => probeBackend(backend)));
  const best = loads.findIndex((load) => load.ok);
  return backendNames.map((backend, index): BackendStatus => {
    const load = loads[index] as BackendLoad;
    const status = { backend, available: load.ok, best: index === best };
    return load.ok
      ? { ...status, versions: load.provenance, reasons: [] }
      : { ...status, versions: {}, reasons: load.reasons, fix: fixFor(backend) };
  });
}

/**
 * Loads a backend and multiplies matrices on it in a child process.
 *
 * @param installation for `tensorflow`: try this installation and no other
 */
export async function probeBackend(backend: BackendName, installation?: string): Promise<BackendLoad> {
  const script = fileURLToPath(new URL(`./probe${extname(import.meta.url)}`, import.meta.url));
  const child = await execa(process.execPath, [script, backend, ...(installation ? [installation] : [])], {
    reject: false,
    timeout: 120_000,
    stdin: "ignore",
  });
  if (child.timedOut) return { ok: false, reasons: [`${backend} did not load within 2 minutes`] };
  if (child.signal === "SIGILL")
    return {
      ok: false,
      reasons: ["the native library needs processor instructions (AVX) this machine lacks"],
    };
  const answer = child.stdout.split("\n").findLast((line) => line.startsWith("{"));
  if (answer) return JSON.parse(answer) as BackendLoad;
  const last = child.stderr.trim().split("\n").at(-1) ?? "";
  return { ok: false, reasons: [`loading ${backend} ended with ${child.signal ?? child.exitCode}: ${last}`] };
}
