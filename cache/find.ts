import { statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/**
 * Absolute folder of the store: `--store`, else RANFLOW_STORE, else `.ranflow` in the nearest ancestor of the
 * working directory that has one, else `.ranflow` in the working directory. It need not exist.
 */
export function findStoreRoot(options: {
  readonly flag?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}): string {
  const named = options.flag || options.env["RANFLOW_STORE"];
  if (named) return resolve(options.cwd, named);
  const start = resolve(options.cwd);
  for (let folder = start; ; folder = dirname(folder)) {
    const candidate = join(folder, ".ranflow");
    if (statSync(candidate, { throwIfNoEntry: false })?.isDirectory()) return candidate;
    if (dirname(folder) === folder) return join(start, ".ranflow");
  }
}
