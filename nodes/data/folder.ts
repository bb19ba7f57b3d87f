import { readdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import type { LocatedFile } from "../../engine/sdk.ts";
import type { NamedFile } from "./csv.ts";

/**
 * A dataset's folder, on disk before its files are hashed, or as files known by content. Names are POSIX paths
 * relative to it; `""` is the folder itself.
 */
export interface DatasetFolder {
  /** How messages call the folder. */
  readonly title: string;
  /** Names directly in a folder; undefined where there is no such folder. Asking again costs nothing. */
  list(folder: string): Promise<ReadonlySet<string> | undefined>;
  /** A file of it, to read. It need not exist. */
  file(name: string): NamedFile;
  /** A folder in it as a dataset's folder of its own. */
  within(folder: string): DatasetFolder;
}

/** A folder on disk, outside the store. */
export function folderOnDisk(root: string): DatasetFolder {
  const listings = new Map<string, Promise<ReadonlySet<string> | undefined>>();
  return {
    title: root,
    list(folder) {
      // Names come from tables: none leads out of the dataset's folder, not even to look.
      if (folder.split("/").includes("..")) return Promise.resolve(undefined);
      let listing = listings.get(folder);
      if (!listing) listings.set(folder, (listing = namesIn(join(root, folder))));
      return listing;
    },
    file: (name) => ({ path: join(root, name), name: join(root, name) }),
    within: (folder) => (folder === "" ? folderOnDisk(root) : folderOnDisk(join(root, folder))),
  };
}

async function namesIn(path: string): Promise<ReadonlySet<string> | undefined> {
  try {
    return new Set(await readdir(path));
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new NodeError(`The folder ${path} cannot be listed: ${message}`, { cause });
  }
}

/** Files known by content: those of a folder artifact, or those that a scan named. */
export function folderOfFiles(files: ReadonlyMap<string, LocatedFile>, title: string): DatasetFolder {
  const listings = new Map<string, Set<string>>([["", new Set()]]);
  for (const name of files.keys()) {
    for (let at = name; at !== "";) {
      const slash = at.lastIndexOf("/");
      const parent = slash === -1 ? "" : at.slice(0, slash);
      const known = listings.get(parent);
      if (known) known.add(at.slice(slash + 1));
      else listings.set(parent, new Set([at.slice(slash + 1)]));
      at = parent;
    }
  }
  return view("");

  function view(prefix: string): DatasetFolder {
    return {
      title: posix.join(title, prefix),
      list: async (folder) =>
        listings.get(prefix === "" || folder === "" ? prefix + folder : `${prefix}/${folder}`),
      file(name) {
        const full = prefix === "" ? name : `${prefix}/${name}`;
        return { path: files.get(full)?.path ?? full, name: posix.join(title, full) };
      },
      within: (folder) => view(prefix === "" || folder === "" ? prefix + folder : `${prefix}/${folder}`),
    };
  }
}

/** Whether a folder holds a file or folder of this name. */
export async function holds(folder: DatasetFolder, name: string): Promise<boolean> {
  const slash = name.lastIndexOf("/");
  const names = await folder.list(slash === -1 ? "" : name.slice(0, slash));
  return names?.has(name.slice(slash + 1)) ?? false;
}
