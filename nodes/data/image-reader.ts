import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { NodeError } from "../../engine/sdk.ts";

/** What the thread is asked for: an image file under the evaluation transform. */
export interface FitRequest {
  readonly id: number;
  readonly path: string;
  readonly size: number;
  readonly name: string | undefined;
}

/** Its answer: [size, size, 3] in 0..255, a problem of the image, or a fault of ours. */
export type FitAnswer =
  | { readonly id: number; readonly rgb: Uint8Array }
  | { readonly id: number; readonly problem: { readonly message: string; readonly hint: string | undefined } }
  | { readonly id: number; readonly fault: string };

/** Reads images for a model beside the thread that computes. */
export interface ImageReader {
  /** As `decodeForModel`. */
  read(path: string, size: number, name?: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Starts a thread that decodes and fits images, so that the next batch is ready when the computation is. */
export function openImageReader(): ImageReader {
  const worker = new Worker(new URL(`./fit-thread${extname(import.meta.url)}`, import.meta.url));
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
    read: (path, size, name) =>
      new Promise((resolve, reject) => {
        const request: FitRequest = { id: requests++, path, size, name };
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
