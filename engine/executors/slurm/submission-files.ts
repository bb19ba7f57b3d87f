import { appendFile, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mapLimit } from "../../../cache/pool.ts";
import type { DriverMessage, WorkerRequest } from "../../model/protocol.ts";
import { parseRequestName, requestName, submissionParts } from "../../model/submission.ts";
import type { Claim, StepEnd, SubmissionHead, WorkerLine } from "../../model/submission.ts";
import { createLineReader } from "../../worker/line-reader.ts";
import type { LineReader } from "../../worker/line-reader.ts";

/** Files that are read or written at once: a file server answers several requests as fast as one. */
const atOnce = 32;
/** Bytes of what an element printed that are kept for the report of its end. */
const tailBytes = 8_192;

/** A step on its way to a submission. */
export interface Addressed {
  readonly id: string;
  readonly request: WorkerRequest;
}

/** The driver's side of a submission's folder. */
export interface SubmissionFiles {
  readonly folder: string;
  /** The steps that somebody waits for, by id. */
  requests(): Promise<ReadonlyMap<string, number>>;
  /** Claims by step that were not seen before. */
  newClaims(): Promise<readonly (readonly [step: number, claim: Claim])[]>;
  /** The worker that has a step; undefined where none has begun with it. */
  claim(step: number): Promise<Claim | undefined>;
  /** When a step was claimed, in ms by the file system's clock. */
  claimedAt(step: number): Promise<number>;
  /** Steps that have ended. */
  ended(): Promise<ReadonlySet<number>>;
  end(step: number): Promise<StepEnd>;
  /** What the worker of a step has said since the last look. */
  newLines(step: number): Promise<readonly WorkerLine[]>;
  /** What drivers have told the worker of a step so far. */
  told(step: number): Promise<readonly DriverMessage[]>;
  tell(step: number, message: DriverMessage): Promise<void>;
  /** Takes a step out of the submission: no worker begins with it any more. */
  drop(step: number, id: string): Promise<void>;
  /** The last lines that an element printed; empty where there are none. */
  tail(element: number): Promise<string>;
  remove(): Promise<void>;
}

/** Writes a submission's folder: under another name, and then by one rename to its own. */
export async function writeSubmission(
  folder: string,
  content: { readonly head: SubmissionHead; readonly script: string; readonly steps: readonly Addressed[] },
): Promise<void> {
  const unfinished = `${folder}.part`;
  await mkdir(unfinished, { recursive: true });
  for (const part of submissionParts) await mkdir(join(unfinished, part));
  await writeFile(join(unfinished, "submission.json"), JSON.stringify(content.head));
  await writeFile(join(unfinished, "script.sh"), content.script, { mode: 0o755 });
  await mapLimit(content.steps, atOnce, ({ id, request }, index) =>
    writeFile(join(unfinished, "request", requestName(index, id)), JSON.stringify(request)),
  );
  await rename(unfinished, folder);
}

/** What the submission's workers were told; undefined where the folder is damaged or half removed. */
export async function readHead(folder: string): Promise<SubmissionHead | undefined> {
  const text = await readFile(join(folder, "submission.json"), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as SubmissionHead);
}

export function openSubmissionFiles(folder: string): SubmissionFiles {
  const seenClaims = new Set<string>();
  const readers = new Map<number, LineReader>();
  const readClaim = async (name: string): Promise<Claim> =>
    JSON.parse(await readFile(join(folder, "claim", name), "utf8")) as Claim;
  const numbered = async (part: string): Promise<readonly string[]> =>
    (await namesIn(join(folder, part))).filter((name) => /^\d+\.json$/.test(name));
  return {
    folder,
    async requests() {
      const found = (await namesIn(join(folder, "request"))).flatMap((name) => parseRequestName(name) ?? []);
      return new Map(found.map(({ id, index }) => [id, index]));
    },
    async newClaims() {
      const names = (await numbered("claim")).filter((name) => !seenClaims.has(name));
      const claims: (readonly [number, Claim])[] = [];
      await mapLimit(names, atOnce, async (name) => {
        claims.push([Number.parseInt(name), await readClaim(name)]);
        seenClaims.add(name);
      });
      return claims;
    },
    claim: (step) => readClaim(`${step}.json`).catch(() => undefined),
    claimedAt: async (step) => (await stat(join(folder, "claim", `${step}.json`))).mtimeMs,
    ended: async () => new Set((await numbered("done")).map((name) => Number.parseInt(name))),
    end: async (step) => JSON.parse(await readFile(join(folder, "done", `${step}.json`), "utf8")) as StepEnd,
    async newLines(step) {
      const reader = readers.get(step) ?? createLineReader(join(folder, "out", `${step}.ndjson`));
      readers.set(step, reader);
      return (await reader.read()).map((line) => JSON.parse(line) as WorkerLine);
    },
    async told(step) {
      const lines = await createLineReader(join(folder, "in", `${step}.ndjson`)).read();
      return lines.map((line) => JSON.parse(line) as DriverMessage);
    },
    tell: (step, message) =>
      appendFile(join(folder, "in", `${step}.ndjson`), `${JSON.stringify(message)}\n`).catch(unlessGone),
    drop: (step, id) => rm(join(folder, "request", requestName(step, id)), { force: true }),
    tail: (element) => lastLines(join(folder, "log", `${element}.txt`)),
    // A worker that ends just now may be writing its last words.
    remove: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }),
  };
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}

/** With the folder, all who could have read it are gone. */
function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

async function lastLines(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    const length = Math.min(size, tailBytes);
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.subarray(0, bytesRead).toString("utf8").trimEnd();
    } finally {
      await file.close();
    }
  } catch {
    return "";
  }
}
