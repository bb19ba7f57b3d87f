import { shellWord } from "../../report/shell-word.ts";
import type { RunInvocation } from "../run-manifest.ts";

/** The command that runs a pipeline as it was run. */
export function runCommand({ axes, force, profiles, sets, steps }: RunInvocation, file: string): string {
  const words = [
    "ranflow",
    "run",
    file,
    ...steps,
    ...axes.flatMap((part) => ["--axes", part]),
    ...profiles.flatMap((name) => ["--profile", name]),
    ...sets.flatMap((set) => ["--set", set]),
    ...(force?.length === 0 ? ["--force"] : (force ?? []).flatMap((step) => ["--force", step])),
  ];
  return words.map(shellWord).join(" ");
}
