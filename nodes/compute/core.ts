import { createRequire } from "node:module";
import type * as tfjs from "@tensorflow/tfjs-core";

const require = createRequire(import.meta.url);

/** Where the shims in an installed backend find our tfjs-core. */
const sharedCore = Symbol.for("ranflow.tfjs-core");

/**
 * The one tfjs-core of this process. Kernels, tensors and backends live in its registries, so every backend,
 * wherever it is installed, has to be registered with this instance.
 */
export function loadCore(): typeof tfjs {
  const tf = require("@tensorflow/tfjs-core") as typeof tfjs;
  const shared = globalThis as { [sharedCore]?: typeof tfjs };
  if (!shared[sharedCore]) {
    shared[sharedCore] = tf;
    // Without this every backend greets on the console, which in a worker is the step's log.
    tf.enableProdMode();
  }
  return tf;
}

/** Path of our tfjs-core's main file, to compare with the one that another package would load. */
export function corePath(): string {
  return require.resolve("@tensorflow/tfjs-core");
}

/** Source of the shims that stand for tfjs-core and the union package in an installed backend. */
export const coreShim = `const core = globalThis[Symbol.for(${JSON.stringify(sharedCore.description)})];
if (!core) throw new Error("this package belongs to ranflow and is loaded by it only");
module.exports = core;
`;
