import { homedir } from "node:os";
import { basename, dirname, relative, sep } from "node:path";

/** Where a pipeline's files go in an export: absolute path -> relative POSIX path. */
export type Layout = ReadonlyMap<string, string>;

/**
 * Keeps files where they are to each other, so that what they import is found. Those that have only a folder above the
 * home folder in common with the pipeline's own file (the first) go to `elsewhere/`: where homes lie is nobody's
 * business, and a path that leads there had to be written out in full.
 */
export function layoutOf(paths: readonly string[], home: string = homedir()): Layout {
  const [main] = paths;
  if (main === undefined) return new Map();
  const near = paths.filter((path) => path === main || isPrivate(commonFolder([main, path]), home));
  const base = commonFolder(near);
  const layout = new Map<string, string>();
  for (const [index, path] of paths.entries()) {
    const name = near.includes(path)
      ? relative(base, path).split(sep).join("/")
      : `elsewhere/${index}-${basename(path)}`;
    layout.set(path, name);
  }
  return layout;
}

/** A folder that has a meaning of its own: the home folder, one in it, or one beside the way to it. */
function isPrivate(folder: string, home: string): boolean {
  return dirname(folder) !== folder && !home.startsWith(folder + sep);
}

function commonFolder(paths: readonly string[]): string {
  return paths.map(dirname).reduce((common, folder) => {
    let shared = common;
    while (shared !== folder && !folder.startsWith(shared.endsWith(sep) ? shared : shared + sep))
      shared = dirname(shared);
    return shared;
  });
}

/** Text in which a path in the home folder begins with `~`: whose home it was is not told. */
export function withoutHome(text: string, home: string = homedir()): string {
  const quoted = JSON.stringify(home).slice(1, -1);
  return quoted.length > 1 ? text.replaceAll(`${quoted}/`, "~/") : text;
}
