import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import type * as tfjs from "@tensorflow/tfjs-core";
import { loadCore } from "./core.ts";
import { registerWasmKernels } from "./wasm-kernels.ts";

const require = createRequire(import.meta.url);

interface WasmPackage {
  setWasmPaths(prefix: string): void;
  readonly version_wasm: string;
}

/** Registers the `wasm` backend, with the kernels it lacks. Throws where the package cannot be loaded. */
export function loadWasm(): Readonly<Record<string, string>> {
  const tf: typeof tfjs = loadCore();
  const wasm = require("@tensorflow/tfjs-backend-wasm") as WasmPackage;
  // Named outright, since the default is relative to the script that was started.
  wasm.setWasmPaths(dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + sep);
  registerWasmKernels(tf);
  return { "tfjs-backend-wasm": wasm.version_wasm };
}
