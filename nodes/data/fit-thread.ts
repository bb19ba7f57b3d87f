/**
 * The other side of `openImageReader`: decodes and fits images in a thread of its own, since resizing as PIL does is
 * arithmetic in JavaScript, which would take its time from the computation in the main thread.
 */
import { parentPort } from "node:worker_threads";
import { NodeError } from "../../engine/sdk.ts";
import type { FitAnswer, FitRequest } from "./image-reader.ts";
import { decodeForModel } from "./images.ts";

parentPort?.on("message", (request: FitRequest) => {
  void answer(request).then((message) =>
    parentPort?.postMessage(message, "rgb" in message ? [message.rgb.buffer as ArrayBuffer] : []),
  );
});

async function answer({ id, path, size, name }: FitRequest): Promise<FitAnswer> {
  try {
    // A copy of its own: what is handed over must not be a part of a larger buffer.
    return { id, rgb: Uint8Array.from(await decodeForModel(path, size, name)) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof NodeError) return { id, problem: { message, hint: error.hint } };
    return { id, fault: error instanceof Error ? (error.stack ?? message) : message };
  }
}
