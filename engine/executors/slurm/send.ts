import { join } from "node:path";
import type { StepError } from "../../model/events.ts";
import type { CommandResult, RunCommand } from "./commands.ts";

/** What came of a submission. */
export type Sent =
  | { readonly kind: "accepted"; readonly job: string }
  /** It may have been accepted all the same: the queue will tell. */
  | { readonly kind: "unknown"; readonly said: string }
  /** Slurm takes no more for now. */
  | { readonly kind: "full"; readonly said: string }
  /** Slurm takes no array of so many elements, now or later. */
  | { readonly kind: "large"; readonly said: string }
  | { readonly kind: "rejected"; readonly error: StepError };

/** Gives a submission to Slurm. */
export async function send(run: RunCommand, folder: string, args: readonly string[]): Promise<Sent> {
  return sentBy(await run("sbatch", [...args, join(folder, "script.sh")]), args);
}

const fullWords =
  /MaxSubmit|SubmitJobs?Limit|job limit|MaxJobCount|max(imum)? (number of )?jobs|temporarily unable to accept|job queue full/i;
/** The cluster's MaxArraySize. */
const largeWords = /Invalid job array spec|array.*exceeds/i;
const single = "--array=0-0";
/** The controller did not answer, or its answer was lost. */
const unsureWords =
  /timed out|unable to contact|communication|connection|send\/recv|Zero Bytes|Unexpected message|I\/O error|Slurm backup controller/i;

/** Reads `sbatch`'s answer. Whatever is not plainly a refusal may be an acceptance whose answer was lost. */
export function sentBy({ missing, ok, stderr, stdout }: CommandResult, args: readonly string[]): Sent {
  // `12` or, of a federation, `12;cluster`.
  const job = /^(\d+)(;.*)?$/m.exec(stdout.trim())?.[1];
  if (ok && job !== undefined) return { kind: "accepted", job };
  if (missing) {
    return rejected(
      "there is no `sbatch` on this machine",
      "run ranflow where Slurm's commands are, such as a login node",
    );
  }
  const said = stderr.replaceAll(/^sbatch: (error: )?/gm, "").trim();
  if (fullWords.test(said)) return { kind: "full", said };
  if (largeWords.test(said)) {
    if (!args.includes(single)) return { kind: "large", said };
    return rejected(`Slurm takes no arrays: ${said}`, "ask for MaxArraySize in slurm.conf to be raised");
  }
  const refusal = /^Batch job submission failed: (.*)$/m.exec(said)?.[1];
  if (refusal !== undefined && !unsureWords.test(said))
    return rejected(`Slurm refused it: ${said.replaceAll("\n", "; ")}`, hintFor(said, args));
  if (
    /unrecognized option|invalid option|Invalid .*(specification|argument|--)|requires an argument/i.test(
      said,
    )
  ) {
    return rejected(`sbatch did not understand: ${said.replaceAll("\n", "; ")}`, hintFor(said, args));
  }
  return { kind: "unknown", said };
}

function rejected(message: string, hint: string): Sent {
  return { kind: "rejected", error: { kind: "cluster", message, hint } };
}

function hintFor(said: string, args: readonly string[]): string {
  const asked = args
    .filter((arg) => /^--(partition|account|time|mem|gres|constraint|cpus)/.test(arg))
    .join(" ");
  const about: readonly (readonly [RegExp, string])[] = [
    [/partition/i, "`sinfo` lists the partitions: set `slurm: { partition: ... }`"],
    [
      /account|association/i,
      "`sacctmgr show assoc user=$USER` lists your accounts: set `slurm: { account: ... }`",
    ],
    [/qos/i, "see the QOS that you may use, and name it in `slurm: { options: [--qos=...] }`"],
    [/time limit/i, "`sinfo -o '%P %l'` shows how long each partition lets steps run: lower `slurm.time`"],
    [
      /memory|node configuration|node count|cpu|gres|feature|constraint/i,
      "no node has what it asks for: compare with `sinfo -N -o '%N %c %m %G %f'`",
    ],
  ];
  const hint = about.find(([words]) => words.test(said))?.[1] ?? "see the node's `slurm:` and `resources:`";
  return asked === "" ? hint : `${hint}; it asked for ${asked}`;
}
