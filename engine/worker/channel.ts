import { StoreError } from "../../cache/errors.ts";
import type { Json } from "../model/json.ts";
import type { DriverMessage, WorkerAsk, WorkerMessage } from "../model/protocol.ts";

/** A worker's line to the driver: messages one way, questions that are answered the other. */
export interface DriverChannel {
  send(message: WorkerMessage): void;
  /** Asks the driver something only the store's index knows. Rejects with a `StoreError` where the store fails. */
  ask(question: WorkerAsk): Promise<Json>;
}

/** Something that carries messages to the driver: this process's IPC channel, or a folder on a cluster. */
export interface Transport {
  send(message: WorkerMessage): void;
  onMessage(listener: (message: DriverMessage) => void): void;
}

/** Puts questions and answers on a transport; every other message goes to `receive`. */
export function openChannel(
  transport: Transport,
  receive: (message: Exclude<DriverMessage, { kind: "answer" }>) => void,
): DriverChannel {
  const waiting = new Map<number, Pick<PromiseWithResolvers<Json>, "resolve" | "reject">>();
  let asked = 0;
  transport.onMessage((message) => {
    if (message.kind !== "answer") {
      receive(message);
      return;
    }
    const { ask, value, problem } = message;
    if (problem) waiting.get(ask)?.reject(new StoreError("io", problem.message, { hint: problem.hint }));
    else waiting.get(ask)?.resolve(value);
    waiting.delete(ask);
  });
  return {
    send: (message) => transport.send(message),
    ask(question) {
      const ask = asked++;
      return new Promise((resolve, reject) => {
        waiting.set(ask, { resolve, reject });
        transport.send({ kind: "ask", ask, question });
      });
    },
  };
}

/** The IPC channel that the driver opened when it started this process. */
export function processTransport(): Transport {
  return {
    send(message) {
      // A driver that died in this instant is noticed by `disconnect`, not by an exception in a node.
      if (process.connected) process.send?.(message, undefined, undefined, () => {});
    },
    onMessage(listener) {
      process.on("message", (message) => listener(message as DriverMessage));
    },
  };
}
