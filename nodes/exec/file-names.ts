import { posix } from "node:path";

/** What is wrong with the names under `files`; undefined where nothing is. */
export function filesProblem(files: readonly string[]): string | undefined {
  for (const file of files) {
    const name = cleanName(file);
    if (posix.isAbsolute(file) || file.startsWith("~/") || name === ".." || name.startsWith("../")) {
      return `\`${file}\` under \`files\` does not lie below \`folder\`: name a folder further up there`;
    }
    if (file.includes("\0")) return "a name under `files` is no path";
  }
  return undefined;
}

/** A name under `files` without `./`, doubled slashes and a slash at its end. */
export function cleanName(file: string): string {
  return posix.normalize(file).replace(/(?<=.)\/$/, "");
}
