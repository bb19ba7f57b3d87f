/**
 * Loads a backend in a process of its own, multiplies two matrices and prints the outcome as one line of JSON: a
 * native library that does not fit the machine takes down this process and not the one that asked.
 *
 * Arguments: backend, and for `tensorflow` optionally the installation to try.
 */
import { writeSync } from "node:fs";
import { loadCore } from "./core.ts";
import { backendNames, loadBackend, type BackendLoad } from "./runtime.ts";
import { loadTensorflow } from "./tensorflow.ts";

const [name, installation] = process.argv.slice(2);
const backend = backendNames.find((known) => known === name);
if (!backend) throw new Error(`internal error: no backend ${name}`);

const load: BackendLoad =
  installation === undefined ? await loadBackend(backend, 1) : loadTensorflow(1, installation);
writeSync(1, `${JSON.stringify(load.ok ? { ...load, ...(await multiply()) } : load)}\n`);

/** A product with a known sum: [64, 64] of ones times [64, 64] of halves. */
async function multiply(): Promise<{ ok: boolean; reasons?: string[] }> {
  const tf = loadCore();
  await tf.setBackend(backend as string);
  const product = tf.matMul(tf.ones([64, 64]), tf.mul(tf.ones([64, 64]), 0.5));
  const sum = product.dataSync<"float32">().reduce((total, value) => total + value, 0);
  if (sum === 64 * 64 * 32) return { ok: true };
  return { ok: false, reasons: [`a matrix product came out as ${sum} and not ${64 * 64 * 32}`] };
}
