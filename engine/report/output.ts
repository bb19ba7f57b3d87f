import { inert } from "./format.ts";

/** Lines to a stream that may be slow, or closed by the reader (`ranflow run | head`). */
export interface Output {
  line(text: string): void;
  /** Like `line`, but left out while the reader is behind: for what the next line makes obsolete. */
  fleeting(text: string): void;
  /** Resolves once everything is handed over, or nobody reads any more. */
  flush(): Promise<void>;
}

/** Wraps a stream. A closed pipe ends the output, never the run; nothing but styles, with `color`, acts on a terminal. */
export function createOutput(
  stream: NodeJS.WritableStream,
  options: { readonly color: boolean } = { color: false },
): Output {
  let closed = false;
  let behind = false;
  let release = (): void => undefined;
  const gone = new Promise<void>((resolve) => {
    release = resolve;
  });
  const close = (): void => {
    closed = true;
    release();
  };
  stream.on("error", close);
  stream.on("close", close);
  stream.on("drain", () => {
    behind = false;
  });
  const write = (text: string): void => {
    if (closed || !stream.writable) return;
    behind = !stream.write(`${inert(text, options)}\n`);
  };
  return {
    line: write,
    fleeting(text) {
      if (!behind) write(text);
    },
    async flush() {
      if (closed || !stream.writable) return;
      const written = new Promise<void>((resolve) => {
        stream.write("", () => resolve());
      });
      await Promise.race([written, gone]);
    },
  };
}
