import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unreachable } from "../../model/result.ts";
import { submissionsFolder } from "../../model/submission.ts";
import type { RunCommand } from "./commands.ts";
import type { Desk } from "./desk.ts";
import type { Existing, ExistingSubmissions } from "./existing.ts";
import { reuseFor, sbatchArguments, shapeKey, submissionScript } from "./options.ts";
import type { Shape } from "./options.ts";
import { send } from "./send.ts";
import type { Sent } from "./send.ts";
import type { Throttle } from "./throttle.ts";
import { openSubmissionFiles, writeSubmission } from "./submission-files.ts";
import type { Addressed } from "./submission-files.ts";
import { followed } from "./types.ts";
import type { Entry, Submission } from "./types.ts";

const workerPath = fileURLToPath(
  new URL(`../../worker/slurm-main${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url),
);

export interface PlacingOptions {
  readonly desk: Desk;
  readonly existing: ExistingSubmissions;
  readonly throttle: Throttle;
  readonly libraryUrls: readonly string[];
}

/** Finds a place for what waits: in a submission of an earlier driver, else in a new one of steps of its shape. */
export async function placeWaiting(options: PlacingOptions): Promise<void> {
  const { desk, existing, throttle } = options;
  const waiting = [...desk.entries].filter(isWaiting);
  if (waiting.length === 0) return;
  await existing.look();
  const requests = new Map<Existing, Requests>();
  for (const entry of waiting) await joinExisting(entry, requests, options);
  // While some are on their way to Slurm, the rest gathers: few large arrays are better than many small ones.
  if ([...desk.submissions.values()].some(isOnItsWay)) return;
  const fresh = waiting.filter(isWaiting);
  for (const group of Map.groupBy(fresh, ({ shape }) => shapeKey(shape)).values()) {
    for (let at = 0; at < group.length && throttle.maySend(); at += throttle.most()) {
      await begin(group.slice(at, at + throttle.most()), options);
    }
  }
}

/** The steps of a submission that somebody waits for, by id. */
type Requests = ReadonlyMap<string, number>;

function isWaiting({ cancelled, state }: Entry): boolean {
  return state.kind === "waiting" && !cancelled;
}

function isOnItsWay(submission: Submission): boolean {
  return submission.standing.kind === "sending" || isUnsent(submission);
}

/** Whether it is to be given to Slurm: what nobody waits for any more is not. */
export function isUnsent({ entries, standing }: Submission): boolean {
  return standing.kind === "unsent" && entries.size > 0;
}

/** Joins a step that an earlier driver submitted; what has become of it, its files and the queue will tell. */
async function joinExisting(
  entry: Entry,
  requests: Map<Existing, Requests>,
  { desk, existing }: PlacingOptions,
): Promise<void> {
  const found = existing.find(entry.id);
  if (!found) return;
  const { index, submission: earlier } = found;
  const there = requests.get(earlier) ?? (await earlier.files.requests());
  requests.set(earlier, there);
  existing.forget(entry.id);
  // Its driver may have given it up, and removed it, since it was found.
  if (there.get(entry.id) !== index || !isWaiting(entry)) return;
  const { head } = earlier;
  const submission =
    desk.submissions.get(head.token) ??
    followed({ ...head, files: openSubmissionFiles(earlier.files.folder), standing: { kind: "unsure" } });
  desk.submissions.set(head.token, submission);
  desk.put(entry, { submission, index });
  entry.listener.log("info", "joins what an earlier run had submitted");
  const claim = submission.claims.get(index);
  if (claim) entry.listener.started(claim.element, claim);
}

/** Makes a submission of steps of one shape. Slurm hears of it when its folder is whole. */
async function begin(
  group: readonly Entry[],
  { desk, existing, libraryUrls }: PlacingOptions,
): Promise<void> {
  const { shape } = group[0] as Entry;
  const token = randomBytes(8).toString("hex");
  existing.own(token);
  const written = await newSubmission({ storeRoot: desk.storeRoot, token, shape, steps: group, libraryUrls });
  desk.submissions.set(token, written);
  for (const [index, entry] of group.entries()) {
    if (isWaiting(entry)) desk.put(entry, { submission: written, index });
    // Cancelled meanwhile.
    else await written.files.drop(index, entry.id);
  }
}

export interface NewSubmission {
  readonly storeRoot: string;
  readonly token: string;
  readonly shape: Shape;
  readonly steps: readonly Addressed[];
  readonly libraryUrls: readonly string[];
}

/** Writes the folder of a submission that is not sent yet. */
export async function newSubmission(options: NewSubmission): Promise<Submission> {
  const { libraryUrls, shape, steps, storeRoot, token } = options;
  const folder = join(submissionsFolder(storeRoot), token);
  const count = steps.length;
  const args = sbatchArguments({ ...shape, token, folder, count });
  const reuse = reuseFor(shape.options);
  const head = { token, storeRoot, libraryUrls, count, reuseFor: reuse, createdAt: Date.now(), args };
  const hasGpu = shape.resources.gpu > 0 || shape.options.gres !== undefined;
  const script = submissionScript({
    node: process.execPath,
    worker: workerPath,
    folder,
    threads: shape.threads,
    hasGpu,
  });
  await writeSubmission(folder, { head, script, steps });
  return followed({ token, files: openSubmissionFiles(folder), args, count, standing: { kind: "unsent" } });
}

export interface SubmitOptions extends Pick<PlacingOptions, "desk" | "throttle"> {
  readonly run: RunCommand;
}

/** Gives a submission to Slurm, and takes in what it answers. */
export async function submit(submission: Submission, { desk, run, throttle }: SubmitOptions): Promise<void> {
  const { args, entries, files, token } = submission;
  submission.standing = { kind: "sending" };
  const sent = await send(run, files.folder, args);
  throttle.sent(sent.kind, submission.count);
  switch (sent.kind) {
    case "accepted":
      submission.standing = { kind: "accepted", job: sent.job };
      return;
    case "unknown":
      submission.standing = { kind: "unsure" };
      warn(submission, `sbatch gave no answer (${sent.said}): the queue will tell whether Slurm has it`);
      return;
    case "full":
    case "large":
      desk.submissions.delete(token);
      for (const entry of entries.values()) {
        entry.state = { kind: "waiting" };
        if (entry.cancelled) await desk.endCancelled(entry);
        else sayFull(entry, sent);
      }
      return files.remove();
    case "rejected":
      desk.submissions.delete(token);
      for (const entry of entries.values()) {
        desk.end(entry, { kind: "failed", error: sent.error, transient: false });
      }
      return files.remove();
    default:
      unreachable(sent);
  }
}

/** Once, however often it is tried. */
function sayFull(entry: Entry, { kind, said }: Extract<Sent, { kind: "full" | "large" }>): void {
  const reason = kind === "full" ? "Slurm takes no more for now" : "Slurm takes smaller arrays only";
  if (entry.reason === reason) return;
  entry.reason = reason;
  entry.listener.pending?.(reason);
  entry.listener.log("warning", `${reason} (${said.replaceAll("\n", "; ")}): trying again`);
}

function warn({ entries }: Submission, message: string): void {
  for (const { listener } of entries.values()) listener.log("warning", message);
}
