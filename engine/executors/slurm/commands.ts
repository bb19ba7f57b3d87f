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

export const runCommand: RunCommand = async (name, args) => {
  const result = await execa(name, args, {
    reject: false,
    stdin: "ignore",
    timeout: patience,
    // Long lists of elements are cut short otherwise.
    env: { SLURM_BITSTR_LEN: "0", LC_ALL: "C" },
  });
  const why = result.failed ? (result.shortMessage ?? "") : "";
  return {
    ok: !result.failed,
    stdout: result.stdout,
    stderr: result.stderr || why,
    missing: result.code === "ENOENT",
  };
};
