import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import util from "node:util";
import { corePath, loadCore } from "./core.ts";
import { gpusVisible } from "./gpu-devices.ts";
import {
  findBinding,
  packageFolder,
  pins,
  quietName,
  tensorflowFolder,
  type TensorflowBuild,
} from "./places.ts";

/** The part of the native binding that we read. */
interface Binding {
  readonly TF_Version: string;
  isUsingGpuDevice(): boolean;
}

interface KernelBackendModule {
  readonly NodeJSKernelBackend: new (binding: Binding, packageName: string) => never;
}

/** A TensorFlow backend that loaded, or why it did not. */
export type TensorflowLoad =
  | { readonly ok: true; readonly provenance: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly reasons: readonly string[] };

/**
 * Registers the `tensorflow` backend: from what `ranflow backend install tensorflow` put into the per-user folder (where
 * a GPU can be seen, its build for CUDA first), else from the npm package's own installation.
 *
 * @param threads compute threads, unless the process was started with TF_NUM_INTRAOP_THREADS
 * @param installation try this installation and no other
 */
export function loadTensorflow(threads: number, installation?: string): TensorflowLoad {
  const reasons: string[] = [];
  prepareProcess(threads);
  for (const { label, root } of installation === undefined
    ? candidates(reasons)
    : [installed(installation)]) {
    const binding = findBinding(root);
    if (!binding) {
      reasons.push(`${label} has no compiled binding`);
      continue;
    }
    try {
      return { ok: true, provenance: register(root, binding) };
    } catch (error) {
      reasons.push(`${label} does not load: ${firstLine(error)}`);
    }
  }
  return { ok: false, reasons };
}

function candidates(reasons: string[]): { label: string; root: string }[] {
  const builds: readonly TensorflowBuild[] = gpusVisible(process.env) ? ["cuda", "cpu"] : ["cpu", "cuda"];
  const found = builds
    .map((build) => tensorflowFolder(build))
    .filter((folder) => existsSync(folder))
    .map(installed);
  if (found.length === 0) reasons.push(`nothing is installed in ${tensorflowFolder("cpu")}`);

  const own = ownPackage();
  if (own === undefined) reasons.push(`the npm package ${pins.binding.name} is not installed`);
  else if (resolvesCore(own) !== corePath())
    reasons.push(`the npm package ${pins.binding.name} brings its own copy of tfjs-core`);
  else found.push({ label: `the npm package ${pins.binding.name}`, root: own });
  return found;
}

function installed(folder: string): { label: string; root: string } {
  return { label: `the installation in ${folder}`, root: packageFolder(folder) };
}

function ownPackage(): string | undefined {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${pins.binding.name}/package.json`));
  } catch {
    return undefined;
  }
}

function resolvesCore(packageRoot: string): string | undefined {
  try {
    return createRequire(join(packageRoot, "package.json")).resolve("@tensorflow/tfjs-core");
  } catch {
    return undefined;
  }
}

function register(root: string, bindingPath: string): Readonly<Record<string, string>> {
  const tf = loadCore();
  const load = createRequire(join(root, "package.json"));
  const quietly = loadQuiet(load, bindingPath);
  const binding = quietly(() => load(bindingPath) as Binding);
  // The package's own entry point would also load TensorBoard, callbacks and node-pre-gyp.
  if (!tf.getKernelsForBackend("tensorflow").length) load("./dist/register_all_kernels.js");
  const { NodeJSKernelBackend } = load("./dist/nodejs_kernel_backend.js") as KernelBackendModule;
  if (!tf.findBackendFactory("tensorflow"))
    tf.registerBackend("tensorflow", () => new NodeJSKernelBackend(binding, pins.binding.name), 3);
  return {
    tensorflow: binding.TF_Version,
    "tfjs-node-gpu": (load("./package.json") as { version: string }).version,
    build: existsSync(join(root, "deps", "nvidia")) ? "cuda" : "cpu",
    device: binding.isUsingGpuDevice() ? "gpu" : "cpu",
  };
}

/** Runs a function with TensorFlow's greetings turned away, where the installation brings the means. */
function loadQuiet(load: NodeJS.Require, bindingPath: string): <T>(work: () => T) => T {
  try {
    return load(join(dirname(bindingPath), quietName)) as <T>(work: () => T) => T;
  } catch {
    return (work) => work();
  }
}

function prepareProcess(threads: number): void {
  // TensorFlow reads these when its first device is made; a worker is started with them.
  process.env["TF_NUM_INTRAOP_THREADS"] ??= String(threads);
  process.env["TF_NUM_INTEROP_THREADS"] ??= "1";
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2";
  // Otherwise the first process takes all of a GPU's memory, and the others find none.
  process.env["TF_FORCE_GPU_ALLOW_GROWTH"] ??= "true";
  // TensorFlow rounds the factors of float32 products to 10 bits on newer GPUs; PyTorch does not, nor do other backends.
  process.env["NVIDIA_TF32_OVERRIDE"] ??= "0";
  // The package calls helpers that Node 23 removed; the one that is left warns in every step's log.
  const helpers = util as unknown as Record<string, unknown>;
  helpers["isNullOrUndefined"] ??= (value: unknown) => value === null || value === undefined;
  helpers["isArray"] = Array.isArray;
  helpers["isString"] ??= (value: unknown) => typeof value === "string";
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}
