/**
 * The other side of `openImageReader`: decodes and fits images in a thread of its own, since resizing as PIL does is
 * arithmetic in JavaScript, which would take its time from the computation in the main thread.
 */
import { parentPort, workerData } from "node:worker_threads";
import { NodeError } from "../../engine/sdk.ts";
import { readyImages } from "./ready-images.ts";
import type { ImageRequest, ReadyOptions } from "./ready-images.ts";

/** What the thread is asked for: images that are wanted together. */
export interface FitRequest {
  readonly id: number;
  readonly images: readonly ImageRequest[];
}

/** Its answer: [B, size, size, 3] in 0..255, a problem of an image, or a fault of ours. */
export type FitAnswer =
  | { readonly id: number; readonly rgb: Uint8Array }
  | { readonly id: number; readonly problem: { readonly message: string; readonly hint: string | undefined } }
  | { readonly id: number; readonly fault: string };

/** So that the next batch's images take neither the processor from those that are waited for, nor memory before it is needed. */
const atOnce = 8;

const ready = inTurn(readyImages(workerData as ReadyOptions), atOnce);

parentPort?.on("message", (request: FitRequest) => {
  void answer(request).then((message) =>
    parentPort?.postMessage(message, "rgb" in message ? [message.rgb.buffer as ArrayBuffer] : []),
  );
});

async function answer({ id, images }: FitRequest): Promise<FitAnswer> {
  try {
    return { id, rgb: joined(await Promise.all(images.map(ready))) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof NodeError) return { id, problem: { message, hint: error.hint } };
    return { id, fault: error instanceof Error ? (error.stack ?? message) : message };
  }
}

/** The same work, begun in the order in which it is asked for, at most `limit` at a time. */
function inTurn<T, R>(work: (item: T) => Promise<R>, limit: number): (item: T) => Promise<R> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (item) => {
    if (running < limit) running++;
    else await new Promise<void>((begin) => waiting.push(begin));
    try {
      return await work(item);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

/** One behind the other, in a buffer of their own that can be handed over. */
function joined(images: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(images.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const image of images) {
    all.set(image, at);
    at += image.length;
  }
  return all;
}
