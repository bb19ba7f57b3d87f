import type { RunCommand } from "./commands.ts";
import { isPending, ranges } from "./queue.ts";
import type { Elements } from "./queue.ts";
import { jobName } from "./options.ts";
import type { Submission } from "./types.ts";

/** Elements that Slurm is to end, gathered into few commands. */
export interface Cancels {
  add(submission: Submission, element: number): void;
  /** Whatever is left of a submission. */
  addAll(submission: Submission): void;
  /** Takes elements out of the queue whose steps other elements have served. */
  spare(submission: Submission, elements: Elements | undefined): void;
  /** @param last asks even a controller that was away just now: there is no other time */
  flush(last?: boolean): Promise<void>;
}

/** Milliseconds for which a controller that was away is not asked again. */
const pause = 10_000;

/** Always by the submission's name, too: after a crash of the controller the same number may be somebody else's. */
export function createCancels(run: RunCommand): Cancels {
  const elements = new Map<Submission, Set<number>>();
  const whole = new Set<Submission>();
  let notBefore = 0;
  const add = (submission: Submission, element: number): void => {
    if (submission.cancelled.has(element)) return;
    submission.cancelled.add(element);
    elements.set(submission, (elements.get(submission) ?? new Set()).add(element));
  };
  const cancel = async (args: readonly string[]): Promise<boolean> => {
    const { ok, stderr } = await run("scancel", ["--quiet", ...args]);
    // What has ended meanwhile is no failure; a controller that is away is asked again.
    const heard = ok || !/contact|timed out|connect/i.test(stderr);
    if (!heard) notBefore = Date.now() + pause;
    return heard;
  };
  return {
    add,
    addAll: (submission) => void whole.add(submission),
    spare(submission, known) {
      for (const [element, { state }] of known ?? []) {
        const claim = submission.claims.get(element);
        if (claim && claim.element !== element && isPending(state)) add(submission, element);
      }
    },
    async flush(last = false) {
      if (!last && Date.now() < notBefore) return;
      // Of a copy: what could not be cancelled is put back.
      for (const [submission, wanted] of new Map(elements)) {
        const { standing, token } = submission;
        if (whole.has(submission)) continue;
        // What nobody knows the number of waits until the queue tells.
        if (standing.kind !== "accepted") continue;
        const list = ranges([...wanted].toSorted((a, b) => a - b));
        // Others may come while the command goes on.
        elements.delete(submission);
        if (await cancel([`--name=${jobName(token)}`, `${standing.job}_[${list}]`])) continue;
        elements.set(submission, new Set([...wanted, ...(elements.get(submission) ?? [])]));
      }
      if (whole.size === 0) return;
      const all = [...whole];
      if (!(await cancel([`--name=${all.map(({ token }) => jobName(token)).join(",")}`]))) return;
      for (const submission of all) {
        whole.delete(submission);
        elements.delete(submission);
      }
    },
  };
}
