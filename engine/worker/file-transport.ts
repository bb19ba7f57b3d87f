import { appendFileSync } from "node:fs";
import type { DriverMessage } from "../model/protocol.ts";
import type { WorkerLine } from "../model/submission.ts";
import type { Transport } from "./channel.ts";
import { createLineReader } from "./line-reader.ts";

/** A transport over two files of a shared folder, and what only such a one can do. */
export interface FileTransport extends Transport {
  send(message: WorkerLine): void;
  /** Takes in what the driver has written by now. */
  poll(): Promise<void>;
  /** Writes what waits to be written, and reads no more. */
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
/** Milliseconds between two looks: the first after a question, and those when nothing is awaited. */
const shortest = 20;
const longest = 1_000;

/**
 * Messages as lines of files. A file is opened for every write and every look: that is when network file systems see to
 * it that the other side sees what was written.
 */
export function openFileTransport(options: FileTransportOptions): FileTransport {
  const lines = createLineReader(options.in);
  let listener: (message: DriverMessage) => void = () => {};
  let waiting: string[] = [];
  let flushing: NodeJS.Timeout | undefined;
  let looking: NodeJS.Timeout | undefined;
  let wait = longest;
  let closed = false;
  const asked = new Map<number, number>();

  const flush = (): void => {
    clearTimeout(flushing);
    flushing = undefined;
    if (waiting.length > 0) appendFileSync(options.out, waiting.join(""));
    waiting = [];
  };

  const poll = async (): Promise<void> => {
    for (const line of await lines.read()) {
      const message = JSON.parse(line) as DriverMessage;
      if (message.kind === "answer") asked.delete(message.ask);
      listener(message);
    }
  };

  const look = async (): Promise<void> => {
    // A file server that is away for a moment will be back.
    await poll().catch(() => {});
    if (closed) return;
    const oldest = Math.min(...asked.values());
    if (Date.now() - oldest > options.patience) options.onNobody();
    wait = asked.size > 0 ? Math.min(wait * 1.5, longest) : longest;
    looking = setTimeout(() => void look(), wait);
  };
  looking = setTimeout(() => void look(), wait);

  return {
    send(message) {
      waiting.push(`${JSON.stringify(message)}\n`);
      if (message.kind !== "ask") {
        flushing ??= setTimeout(flush, gather);
        return;
      }
      flush();
      asked.set(message.ask, Date.now());
      wait = shortest;
      clearTimeout(looking);
      looking = setTimeout(() => void look(), wait);
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
