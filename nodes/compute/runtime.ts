import { createRequire } from "node:module";
import { NodeError } from "../../engine/sdk.ts";
import { loadCore } from "./core.ts";
import { loadTensorflow } from "./tensorflow.ts";
import type { BackendName, Runtime } from "./types.ts";
import { loadWasm } from "./wasm.ts";

/** Backends, best first: the order in which `auto` tries them. */
export const backendNames: readonly BackendName[] = ["tensorflow", "wasm", "cpu"];

/** A backend that loaded with its versions, or the reasons why it did not. */
export type BackendLoad =
  | { readonly ok: true; readonly provenance: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly reasons: readonly string[] };

const loads = new Map<BackendName, Promise<BackendLoad>>();

/** One for each backend and process: what is kept for a runtime, its constants for instance, is made once. */
const runtimes = new Map<BackendName, Runtime>();

/**
 * Opens a compute backend and makes it tfjs's current one. Each backend is loaded once per process, and its runtime
 * is the same object each time; all of them share one tfjs-core. tfjs-core alone has no gradients and no chained operations: nodes bring their own backward.
 *
 * @param request.backend `auto` for the best that loads, or a backend's name
 * @param request.threads compute threads; the environment that the process was started with
 *   (TF_NUM_INTRAOP_THREADS) wins, and `wasm` and `cpu` have one thread whatever is asked
 * @throws NodeError where the named backend is unknown or does not load
 */
export async function openRuntime(request: { backend: string; threads: number }): Promise<Runtime> {
  const named = request.backend === "auto" ? backendNames : [known(request.backend)];
  const reasons: string[] = [];
  for (const backend of named) {
    const load = await loadBackend(backend, request.threads);
    if (load.ok) return activate(backend, load.provenance);
    reasons.push(...load.reasons);
  }
  throw new NodeError(`the compute backend ${request.backend} does not load: ${reasons.join("; ")}`, {
    hint: fixFor(request.backend),
  });
}

/** Loads a backend without making it the current one. */
export function loadBackend(backend: BackendName, threads: number): Promise<BackendLoad> {
  const started = loads.get(backend) ?? load(backend, threads);
  loads.set(backend, started);
  return started;
}

/** What a user can do about a backend that does not load. */
export function fixFor(backend: string): string {
  return backend === "tensorflow"
    ? "install it with `ranflow backend install tensorflow`, or leave out --backend to use the best that loads"
    : "the package comes with ranflow: reinstall with `npm ci`";
}

async function load(backend: BackendName, threads: number): Promise<BackendLoad> {
  const tf = loadCore();
  try {
    const loaded = loadPackage(backend, threads);
    if (!loaded.ok) return loaded;
    // Under auto a later backend must not inherit a current one that failed to initialise.
    if (!(await tf.setBackend(backend))) return { ok: false, reasons: [`${backend} does not initialise`] };
    return { ok: true, provenance: { "tfjs-core": tf.version_core, ...loaded.provenance } };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { ok: false, reasons: [`${backend} does not load: ${reason}`] };
  }
}

function loadPackage(backend: BackendName, threads: number): BackendLoad {
  switch (backend) {
    case "tensorflow":
      return loadTensorflow(threads);
    case "wasm":
      return { ok: true, provenance: loadWasm() };
    case "cpu": {
      const cpu = createRequire(import.meta.url)("@tensorflow/tfjs-backend-cpu") as { version_cpu: string };
      return { ok: true, provenance: { "tfjs-backend-cpu": cpu.version_cpu } };
    }
  }
}

async function activate(backend: BackendName, versions: Readonly<Record<string, string>>): Promise<Runtime> {
  const tf = loadCore();
  await tf.setBackend(backend);
  const threads = backend === "tensorflow" ? Number(process.env["TF_NUM_INTRAOP_THREADS"]) : 1;
  const opened = runtimes.get(backend) ?? {
    tf,
    backend,
    threads,
    provenance: { backend, threads, ...versions },
  };
  runtimes.set(backend, opened);
  return opened;
}

function known(name: string): BackendName {
  const found = backendNames.find((backend) => backend === name);
  if (found) return found;
  throw new NodeError(`there is no compute backend ${JSON.stringify(name)}`, {
    hint: `use auto, ${backendNames.join(", ")}`,
  });
}
