import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { StoreError } from "./errors.ts";
import { isSafePath } from "./record.ts";

/** Refuses an output that cannot become an artifact. */
export function refuse(path: string, why: string): never {
  throw new StoreError("bad-output", `the output ${path} ${why}`, {
    hint: "an output is a file, or a folder of files; links must lead to files",
  });
}

/**
 * Names of the files under an output folder: relative POSIX paths, sorted by UTF-16 code units. Links to files
 * count as files; links to folders, devices and names that are not UTF-8 are refused with a `StoreError`.
 */
export async function filesUnder(folder: string): Promise<readonly string[]> {
  const names: string[] = [];
  const visit = async (under: string): Promise<void> => {
    for (const entry of await readdir(join(folder, under), { withFileTypes: true })) {
      const name = under === "" ? entry.name : `${under}/${entry.name}`;
      if (entry.name.includes("\uFFFD")) refuse(join(folder, name), "has a name that is not UTF-8");
      if (!isSafePath(name)) refuse(join(folder, name), "has a name that is no path on every system");
      if (entry.isDirectory()) await visit(name);
      else if (entry.isFile() || (entry.isSymbolicLink() && (await leadsToFile(join(folder, name)))))
        names.push(name);
      else refuse(join(folder, name), "is neither a file nor a folder");
    }
  };
  await visit("");
  return names.toSorted();
}

/** Whether a link's target is a regular file; a target that is not there is refused. */
export async function leadsToFile(link: string): Promise<boolean> {
  const target = await stat(link).catch(() => undefined);
  if (target === undefined) return refuse(link, "is a link that leads nowhere");
  return target.isFile();
}
