import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { StepError } from "../model/events.ts";
import type { DriverMessage, WorkerMessage, WorkerRequest } from "../model/protocol.ts";
import { unreachable } from "../model/result.ts";
import { hasCheckpoint } from "../worker/checkpoint.ts";
import { answerTo } from "./answer.ts";
import type { Answerer, ExecutionListener, ExecutionOutcome } from "./types.ts";

export interface WorkerProcessOptions {
  readonly number: number;
  readonly storeRoot: string;
  /** URLs of modules that export `library`. */
  readonly libraryUrls: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly answer: Answerer;
}

/** A worker process as the pool sees it. It serves one request at a time. */
export interface WorkerProcess {
  readonly number: number;
  /** Resolves when the process can serve, or with why it never will. */
  readonly started: Promise<StepError | undefined>;
  /** Serves a request to its end. A crash is an outcome like any other. The process must be idle. */
  serve(request: WorkerRequest, listener: ExecutionListener): Promise<ExecutionOutcome>;
  cancel(how: "checkpoint" | "now"): void;
  /** False once the process is gone, or is not to be used again. */
  usable(): boolean;
  /** Bytes the process kept after its last step. */
  residentMemory(): number;
  /** Lets an idle process end, and kills one that does not. */
  close(): Promise<void>;
}

/**
 *   starting --ready--> idle <--answer-- busy
 *                         `----serve----^
 *   any --exit--> gone
 */
type State =
  | { readonly kind: "starting"; readonly settle: (problem: StepError | undefined) => void }
  | { readonly kind: "idle" }
  | Busy
  | { readonly kind: "gone" };

interface Busy {
  readonly kind: "busy";
  readonly request: WorkerRequest;
  readonly listener: ExecutionListener;
  readonly settle: (outcome: ExecutionOutcome) => void;
}

/** Lines of output kept for the report of a crash. */
const tailLines = 30;
/** How long what a process wrote before its end may take to arrive, in ms. */
const lastWords = 500;
/** How long an idle process may take to end before it is killed, in ms. */
const patience = 2_000;

const entry = fileURLToPath(
  new URL(`../worker/main${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url),
);

/** Starts a worker process. */
export function startWorker(options: WorkerProcessOptions): WorkerProcess {
  const { number, storeRoot, libraryUrls, env, answer } = options;
  const starting = Promise.withResolvers<StepError | undefined>();
  let state: State = { kind: "starting", settle: starting.resolve };
  let listener: ExecutionListener | undefined;
  let resident = 0;
  let killed = false;
  const tail: string[] = [];

  const child = spawn(process.execPath, [entry, storeRoot, ...libraryUrls], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    serialization: "json",
    env: { ...process.env, ...env },
  });

  const send = (message: DriverMessage): void => {
    // A process that is just dying is noticed by its exit.
    if (child.connected) child.send(message, undefined, undefined, () => {});
  };

  const readLines = (stream: Readable | null): void => {
    if (!stream) return;
    createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
      tail.push(line);
      if (tail.length > tailLines) tail.shift();
      listener?.output(line);
    });
  };
  readLines(child.stdout);
  readLines(child.stderr);

  const begin = (busy: Busy): void => {
    state = busy;
    listener = busy.listener;
    tail.length = 0;
    busy.listener.started(number);
    send(busy.request);
  };

  const receive = (message: WorkerMessage): void => {
    if (message.kind === "ready") {
      const before = state;
      state = { kind: "idle" };
      if (before.kind === "starting") before.settle(undefined);
      return;
    }
    if (message.kind === "ask") {
      const { ask, question } = message;
      void answerTo(answer, ask, question).then(send);
      return;
    }
    // The last words of a request that is over, from a process that is being killed.
    if (state.kind !== "busy" || message.request !== state.request.request) return;
    switch (message.kind) {
      case "progress":
        state.listener.progress(message);
        return;
      case "log":
        state.listener.log(message.level, message.message);
        return;
      case "scanned":
      case "done":
      case "failed":
      case "cancelled": {
        const { settle } = state;
        state = { kind: "idle" };
        if (message.kind === "done") resident = message.residentMemory;
        // What the step printed was written before the answer; where both have come, the pipe may be read after the channel.
        setImmediate(settle, message);
        return;
      }
      default:
        unreachable(message);
    }
  };
  child.on("message", (message) => receive(message as unknown as WorkerMessage));

  const exited = new Promise<Exit>((resolve) => {
    child.on("error", (error) => {
      if (child.pid === undefined) resolve({ problem: error.message });
    });
    // Not `close`, which does not come where this side has closed the channel.
    child.once("exit", (code, signal) => {
      const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
      const read = streams.map(async (stream) => stream.closed || once(stream, "close"));
      // A program that a step started may hold the streams open long after the process is gone: they are not waited for.
      const timer = setTimeout(() => streams.forEach((stream) => stream.destroy()), lastWords);
      void Promise.all(read).then(() => {
        clearTimeout(timer);
        resolve({ code, signal });
      });
    });
  }).then(async (exit) => {
    const before = state;
    state = { kind: "gone" };
    if (before.kind === "starting") before.settle(crashError({ started: false, tail, exit }));
    if (before.kind !== "busy") return;
    if (killed) {
      before.settle({ kind: "cancelled", checkpointed: await keepsCheckpoint(before.request, storeRoot) });
      return;
    }
    before.settle({ kind: "failed", error: crashError({ started: true, tail, exit }), transient: false });
  });

  return {
    number,
    started: starting.promise,
    serve(request, on) {
      return new Promise((settle) => {
        if (state.kind !== "idle")
          throw new Error(`internal error: worker ${number} is ${state.kind} and was given a request`);
        begin({ kind: "busy", request, listener: on, settle });
      });
    },
    cancel(how) {
      if (how === "now") {
        killed = true;
        child.kill("SIGKILL");
      } else if (state.kind === "busy") {
        send({ kind: "cancel", request: state.request.request, how });
      }
    },
    usable: () => state.kind === "idle" && !killed && child.connected,
    residentMemory: () => resident,
    async close() {
      if (state.kind === "gone") return;
      killed = true;
      // A worker ends when its channel closes; one whose step blocks its event loop has to be killed.
      const kill = setTimeout(() => child.kill("SIGKILL"), state.kind === "idle" ? patience : 0);
      if (child.connected) child.disconnect();
      await exited;
      clearTimeout(kill);
    },
  };
}

/** Whether a request that was cancelled finds a checkpoint to go on from when it is made again. */
export async function keepsCheckpoint(request: WorkerRequest, storeRoot: string): Promise<boolean> {
  return request.kind === "run" && (await hasCheckpoint(join(storeRoot, "checkpoints", request.key)));
}

/** How a process ended, or why it never began. */
type Exit =
  { readonly code: number | null; readonly signal: NodeJS.Signals | null } | { readonly problem: string };

interface Crash {
  readonly started: boolean;
  readonly tail: readonly string[];
  readonly exit: Exit;
}

function crashError({ started, tail, exit }: Crash): StepError {
  const output = tail.join("\n");
  const detail = output === "" ? {} : { detail: output };
  const signal = "signal" in exit ? exit.signal : null;
  const how =
    "problem" in exit
      ? `could not be started: ${exit.problem}`
      : signal
        ? `was ended by ${signal}`
        : `exited with code ${exit.code}`;
  const last = tail.findLast((line) => line.trim() !== "");
  return {
    kind: "crash",
    message: `the worker process ${how}${started ? "" : " before it was ready"}${last && !signal ? `: ${last.trim()}` : ""}`,
    hint: crashHint(signal, output),
    ...detail,
  };
}

function crashHint(signal: string | null, output: string): string {
  if (/heap out of memory/i.test(output)) {
    return "the step ran out of JavaScript memory: raise it with NODE_OPTIONS=--max-old-space-size=<MB>";
  }
  switch (signal) {
    case "SIGKILL":
      return (
        "the operating system does this when memory runs out: run fewer steps at once with --slots cpu=N, " +
        "or give the node `resources: { memory: ... }`"
      );
    case "SIGSEGV":
    case "SIGILL":
    case "SIGBUS":
    case "SIGABRT":
      return "a native library failed: try another --backend, and see `ranflow doctor`";
    default:
      return "`ranflow log STEP` has what the process wrote last";
  }
}
