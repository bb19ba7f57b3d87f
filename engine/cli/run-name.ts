/** How commands name a run: an id or the beginning of one, `latest`, or a tag. */
import { err, ok } from "../model/result.ts";
import type { Result } from "../model/result.ts";

/** What help says of a RUN. */
export const runNameHelp =
  "A RUN is its id (`ranflow runs` lists them) or how that begins, `latest`, or a tag.";

/** What is wrong with the name of a run, and what to do about it. */
export interface RunProblem {
  readonly message: string;
  readonly hint: string;
}

/** The id that a text means, among those of runs, newest first: without a text, or with `latest`, the newest. */
export function matchRun(ids: readonly string[], name: string | undefined): Result<string, RunProblem> {
  const [newest] = ids;
  if (newest === undefined)
    return err({ message: "there is no run in this store", hint: "`ranflow run` makes one" });
  if (name === undefined || name === "latest") return ok(newest);
  if (ids.includes(name)) return ok(name);
  const matching = ids.filter((id) => id.startsWith(name));
  const [only] = matching;
  if (only !== undefined && matching.length === 1) return ok(only);
  const listed = (matching.length > 0 ? matching : ids).slice(0, 8);
  return err({
    message:
      matching.length > 0 ? `several runs begin with ${name}` : `there is no run ${name} in this store`,
    hint: ["the newest are:", ...listed].join("\n  "),
  });
}
