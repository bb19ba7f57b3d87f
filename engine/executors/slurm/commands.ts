import { execa } from "execa";

/** How a command of Slurm ended. */
export interface CommandResult {
  readonly ok: boolean;
  readonly stdout: string;
  /** What it said, or why it could not be run. */
  readonly stderr: string;
  /** The command is not there. */
  readonly missing: boolean;
}

/** Runs a command of Slurm. Never rejects. */
export type RunCommand = (name: string, args: readonly string[]) => Promise<CommandResult>;

/** A controller that has not answered for so long, in ms, answers no more: its own limit is 10 s, several times over. */
const patience = 60_000;
/** `sbatch` says this where the queue is full, and goes on trying for two minutes, in which nothing else would be done. */
const triesAgain = /sleeping and retrying/;

export const runCommand: RunCommand = async (name, args) => {
  const command = execa(name, args, {
    reject: false,
    stdin: "ignore",
    timeout: patience,
    // Out of reach of the terminal's Ctrl-C: a run that stops still takes its steps out of the queue.
    detached: true,
    // Long lists of elements are cut short otherwise.
    env: { SLURM_BITSTR_LEN: "0", LC_ALL: "C" },
  });
  // It sleeps after these words: no submission is on its way.
  command.stderr.on("data", (said) => triesAgain.test(String(said)) && command.kill());
  const result = await command;
  const why = result.failed ? (result.shortMessage ?? "") : "";
  return {
    ok: !result.failed,
    stdout: result.stdout,
    stderr: result.stderr || why,
    missing: result.code === "ENOENT",
  };
};
