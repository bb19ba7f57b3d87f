import { readFile } from "node:fs/promises";
import { NodeError } from "../../engine/sdk.ts";
import type { NamedFile } from "./csv.ts";

/** The names of a text file that has one a line. */
export async function readNameList(file: NamedFile): Promise<ReadonlySet<string>> {
  const text = await readFile(file.path, "utf8").catch((cause: unknown) => {
    throw new NodeError(`${file.name} cannot be opened: ${(cause as Error).message}`, { cause });
  });
  const names = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .map((line) => line.trim());
  return new Set(names.filter((name) => name !== ""));
}
