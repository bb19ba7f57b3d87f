import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where a folder's repository stands. */
export interface GitState {
  /** The commit that is checked out. */
  readonly commit: string;
  /** True where a file that git knows differs from that commit, anywhere in the repository. */
  readonly dirty: boolean;
}

/** Milliseconds: longer than any repository needs that is pleasant to work in. */
const patience = 3_000;

/**
 * The state of the git repository that a folder lies in; undefined where there is none, no commit yet, or no git.
 * Changes nothing, and runs nothing that the repository's configuration names.
 */
export async function gitStateOf(folder: string): Promise<GitState | undefined> {
  // A process costs more than this look, and most pipelines may well lie in no repository.
  if (!isInRepository(folder)) return undefined;
  const args = [
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "status",
    "--porcelain=v2",
    "--branch",
    "--untracked-files=no",
    "--ignore-submodules=dirty",
  ];
  const options = { cwd: folder, timeout: patience, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    execFile("git", args, options, (error, stdout) => resolve(error ? undefined : parseStatus(stdout)));
  });
}

function isInRepository(folder: string): boolean {
  return existsSync(join(folder, ".git")) || (dirname(folder) !== folder && isInRepository(dirname(folder)));
}

function parseStatus(text: string): GitState | undefined {
  const commit = /^# branch\.oid ([0-9a-f]+)$/m.exec(text)?.[1];
  return commit === undefined ? undefined : { commit, dirty: /^[^#\n]/m.test(text) };
}
