/**
 * A worker on a cluster: an element of the array that a submission is.
 *
 *   slurm-main <folder of the submission> <number of the element>
 *
 * It serves the step of its number, and goes on with steps whose own elements still wait in the queue, so that a
 * thousand short steps cost a handful of processes. All it needs is Node and the shared folder. A driver that dies does
 * not end it: its result is found by the next one.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { openObjects } from "../../cache/objects.ts";
import { unreachable } from "../model/result.ts";
import { spentFile } from "../model/submission.ts";
import type { Claim, StepEnd, SubmissionHead } from "../model/submission.ts";
import { openChannel } from "./channel.ts";
import { claimNext, readRequest, writeEnd } from "./claims.ts";
import { openFileTransport } from "./file-transport.ts";
import type { FileTransport } from "./file-transport.ts";
import { loadLibrary } from "./library.ts";
import { redactStream } from "./printed.ts";
import { openPrivateFolders } from "./private-folders.ts";
import { createRedactor } from "./redact.ts";
import { serve } from "./run-step.ts";
import type { Answer } from "./run-step.ts";
import { treeMemory } from "./tree-memory.ts";
import { isGone, untilWritten } from "./until-written.ts";

/** A step whose driver does not answer for so long, in ms, ends: it holds what others may use. */
const patience = 15 * 60_000;
/** A process that keeps more bytes than this after a step takes no further one. */
const reuseBelow = 1.5 * 2 ** 30;
/** Milliseconds between two looks at the memory. */
const memoryEvery = 250;

const [folder, number] = process.argv.slice(2);
if (folder === undefined || number === undefined) {
  throw new Error(
    "internal error: this worker is started by Slurm, with a submission and an element's number",
  );
}
const began = performance.now();
const head = JSON.parse(readFileSync(join(folder, "submission.json"), "utf8")) as SubmissionHead;
const self: Claim = {
  element: Number(number),
  job: process.env["SLURM_ARRAY_JOB_ID"] ?? process.env["SLURM_JOB_ID"] ?? "",
  node: process.env["SLURMD_NODENAME"] ?? hostname(),
  gpus: (process.env["SLURM_JOB_GPUS"] ?? process.env["SLURM_STEP_GPUS"] ?? "")
    .split(",")
    .filter((gpu) => /^\d+$/.test(gpu))
    .map(Number),
};

/** The step that is being served. */
interface Current {
  readonly transport: FileTransport;
  readonly abort: AbortController;
  told: StepEnd["told"];
  /** Another attempt goes on from what this one keeps. */
  keeps: boolean;
}
let current: Current | undefined;
let isLast = false;

const tell = (told: "time" | "end"): void => {
  isLast = true;
  if (!current) process.exit(0);
  // Nothing is gained by ending it early: it may come to its end in the time that is left.
  if (told === "time" && !current.keeps) return;
  current.told ??= told;
  current.abort.abort(new Error("cancelled"));
};
// Asked for at submission: the time is nearly over.
process.on("SIGUSR2", () => tell("time"));
// Preempted, cancelled, or the node is to be taken down.
process.on("SIGTERM", () => tell("end"));
for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});

const redactor = createRedactor(process.env);
const printed = [process.stdout, process.stderr].map((stream) => {
  teeLines(stream);
  return redactStream(stream, redactor);
});
process.on("exit", () => printed.forEach(({ flush }) => flush()));

const library = await loadLibrary(head.libraryUrls);
const objects = openObjects(head.storeRoot);
let folderCount = 0;
const folders = openPrivateFolders(() =>
  join(folder, "work", `${self.job}-${self.element}-${folderCount++}`),
);
process.on("exit", () => folders.close());

while (!isLast) {
  const step = claimNext(folder, self);
  if (step === undefined) {
    // Elements that begin from now on need not even start Node.
    writeFileSync(join(folder, spentFile), "");
    break;
  }
  await serveStep(step);
  isLast ||= performance.now() - began > head.reuseFor || process.memoryUsage.rss() > reuseBelow;
}
process.exit(0);

async function serveStep(index: number): Promise<void> {
  const request = readRequest(folder as string, index);
  if (!request) {
    // Cancelled just now: who did it waits to hear that nothing was begun.
    const answer = { kind: "cancelled", request: index, checkpointed: false } as const;
    await untilWritten(folder as string, () => writeEnd(folder as string, index, { answer }));
    return;
  }
  const abort = new AbortController();
  const transport = openFileTransport({
    out: join(folder as string, "out", `${index}.ndjson`),
    in: join(folder as string, "in", `${index}.ndjson`),
    patience,
    onNobody: () => tell("end"),
  });
  const serving: Current = { transport, abort, told: undefined, keeps: false };
  current = serving;
  const channel = openChannel(transport, (message) => {
    switch (message.kind) {
      case "cancel":
        if (message.how === "checkpoint") return abort.abort(new Error("cancelled"));
        // It came too late for this step, and may not end the next one.
        if (current !== serving) return;
        // Another worker has the step by now, or will have it, or nobody wants it: what this one writes is of no use.
        leave(index);
        return;
      case "scan":
      case "run":
        throw new Error("internal error: a request came as a message");
      default:
        unreachable(message);
    }
  });
  let most = 0;
  const measure = setInterval(() => {
    const bytes = treeMemory(process.pid);
    if (bytes > 1.02 * most) transport.send({ kind: "memory", bytes: (most = bytes) });
  }, memoryEvery);
  const fence = async (): Promise<void> => {
    await transport.poll();
    // Whoever gave the step up has removed the folder since.
    if (isGone(folder as string)) process.exit(0);
  };
  const onKept = (): void => void (serving.keeps = true);
  const setup = { library, objects, channel, redactor, folders, fence, onKept };
  const answer = await serve({ ...request, request: index, gpus: self.gpus }, setup, abort.signal);
  clearInterval(measure);
  printed.forEach(({ flush }) => flush());
  const { told } = serving;
  // The step is the current one until then: a signal may not end the process before its end is written.
  await untilWritten(folder as string, () => {
    transport.close();
    writeEnd(folder as string, index, { answer, ...(told && { told }) });
  });
  current = undefined;
  isLast ||= leavesDoubt(answer);
}

/** Ends at once, and says that nobody works on the step any more. */
function leave(index: number): never {
  try {
    writeEnd(folder as string, index, {
      answer: { kind: "cancelled", request: index, checkpointed: false },
    });
  } catch {
    // The folder is gone: nobody waits to hear it.
  }
  process.exit(0);
}

/** A process in which something unexpected happened may hold half-changed state. */
function leavesDoubt(answer: Answer): boolean {
  return answer.kind === "cancelled" || (answer.kind === "failed" && answer.error.kind !== "node");
}

/** Sends what is printed to the driver, too, line by line. */
function teeLines(stream: NodeJS.WriteStream): void {
  const write = stream.write.bind(stream) as (chunk: unknown, ...rest: unknown[]) => boolean;
  let held = "";
  stream.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    const lines = (
      held + (typeof chunk === "string" ? chunk : Buffer.from(chunk as Uint8Array).toString())
    ).split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) current?.transport.send({ kind: "output", line });
    return write(chunk, ...rest);
  };
}
