import type { DriverMessage } from "../model/protocol.ts";
import type { WorkerLine } from "../model/submission.ts";
import type { Transport } from "./channel.ts";
import { createLineReader } from "./line-reader.ts";
import { createLineWriter } from "./line-writer.ts";

/** A transport over two files of a shared folder, and what only such a one can do. */
export interface FileTransport extends Transport {
  send(message: WorkerLine): void;
  /** Takes in what the driver has written by now. */
  poll(): Promise<void>;
  /** Writes what waits, as far as that can be written now, and reads no more. May be called again for what is left. */
  close(): void;
}

export interface FileTransportOptions {
  readonly out: string;
  readonly in: string;
  /** An answer has not come for this many ms: nobody is there to give one. */
  readonly patience: number;
  readonly onNobody: () => void;
}

/** Milliseconds for which lines are gathered: each write goes to a file server. */
const gather = 250;
/** Milliseconds before lines that could not be written are tried again. */
const retry = 1_000;
/** Milliseconds between two looks: the first after a question, and those when nothing is awaited. */
const shortest = 20;
const longest = 1_000;

/**
 * Messages as lines of files. Lines that cannot be written wait until they can: what a step says about itself is no
 * reason to end it.
 */
export function openFileTransport(options: FileTransportOptions): FileTransport {
  const written = createLineWriter(options.out);
  const lines = createLineReader(options.in);
  let listener: (message: DriverMessage) => void = () => {};
  let flushing: NodeJS.Timeout | undefined;
  let looking: NodeJS.Timeout | undefined;
  let wait = longest;
  let closed = false;
  const asked = new Map<number, number>();

  const flush = (): void => {
    clearTimeout(flushing);
    flushing = written.flush() || closed ? undefined : setTimeout(flush, retry);
  };

  const poll = async (): Promise<void> => {
    for (const line of await lines.read()) {
      const message = JSON.parse(line) as DriverMessage;
      if (message.kind === "answer") asked.delete(message.ask);
      listener(message);
    }
  };

  /** A question may have set a look while another was under way: only one is ever to come. */
  const lookIn = (ms: number): void => {
    clearTimeout(looking);
    looking = setTimeout(() => void look(), ms);
  };

  const look = async (): Promise<void> => {
    // A file server that is away for a moment will be back.
    await poll().catch(() => {});
    if (closed) return;
    const oldest = Math.min(...asked.values());
    if (Date.now() - oldest > options.patience) options.onNobody();
    wait = asked.size > 0 ? Math.min(wait * 1.5, longest) : longest;
    lookIn(wait);
  };
  lookIn(wait);

  return {
    send(message) {
      written.add(JSON.stringify(message));
      if (closed) return;
      if (message.kind !== "ask") {
        flushing ??= setTimeout(flush, gather);
        return;
      }
      flush();
      asked.set(message.ask, Date.now());
      wait = shortest;
      lookIn(wait);
    },
    onMessage(receive) {
      listener = receive;
    },
    poll,
    close() {
      closed = true;
      flush();
      clearTimeout(looking);
    },
  };
}
