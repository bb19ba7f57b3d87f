import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { NodeError } from "../../engine/sdk.ts";
import type { FitAnswer, FitRequest } from "./fit-thread.ts";
import type { ImageRequest, ReadyOptions } from "./ready-images.ts";

/** Reads images for a model beside the thread that computes. */
export interface ImageReader {
  /**
   * Images as `readyImages` makes them, one behind the other: [B, size, size, 3] bytes, the caller's own.
   *
   * @throws NodeError as `decodeImage` does
   */
  read(images: readonly ImageRequest[]): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * Starts a thread that decodes and fits images, so that the next batch is ready when the computation is.
 *
 * @param memory bytes of pixels that it may keep for when an image is wanted again; none unless told
 */
export function openImageReader({
  size,
  memory = 0,
}: Pick<ReadyOptions, "size"> & Partial<ReadyOptions>): ImageReader {
  const options: ReadyOptions = { size, memory };
  const worker = new Worker(new URL(`./fit-thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: options,
  });
  const waiting = new Map<
    number,
    { resolve: (rgb: Uint8Array) => void; reject: (reason: unknown) => void }
  >();
  let requests = 0;
  worker.on("message", (answer: FitAnswer) => {
    const request = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ("rgb" in answer) request?.resolve(answer.rgb);
    else if ("fault" in answer) request?.reject(new Error(answer.fault));
    else {
      const { message, hint } = answer.problem;
      request?.reject(new NodeError(message, hint === undefined ? {} : { hint }));
    }
  });
  worker.on("error", (error) => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  return {
    read: (images) =>
      new Promise((resolve, reject) => {
        const request: FitRequest = { id: requests++, images };
        waiting.set(request.id, { resolve, reject });
        // A thread has no origin: the rule means windows.
        // oxlint-disable-next-line unicorn/require-post-message-target-origin
        worker.postMessage(request);
      }),
    async close() {
      await worker.terminate();
    },
  };
}
