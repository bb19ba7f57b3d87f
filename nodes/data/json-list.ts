import { readFile } from "node:fs/promises";
import { NodeError } from "../../engine/sdk.ts";
import type { NamedFile } from "./csv.ts";

/** An object of a JSON list, and how messages call its place. */
export interface ListedObject {
  readonly at: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/**
 * The objects of a JSON file that is one list. The datasets' largest such file is some 3 MB, so it is held whole.
 *
 * @throws NodeError naming the file, and the entry counted from 1: no such file, not JSON, no list of objects
 */
export async function readJsonList(file: NamedFile): Promise<readonly ListedObject[]> {
  const list = parsed(await textOf(file), file);
  if (!Array.isArray(list)) throw new NodeError(`${file.name} is not a JSON list`);
  return list.map((value: unknown, index) => {
    const at = `${file.name}, entry ${index + 1},`;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new NodeError(`${at} is not a JSON object`);
    }
    return { at, value: value as Readonly<Record<string, unknown>> };
  });
}

/** A field that must be text; numbers, which some releases hold in its place, count as text. */
export function textField({ at, value }: ListedObject, field: string): string {
  const found = value[field];
  if (typeof found === "string") return found.trim();
  if (typeof found === "number") return String(found);
  throw new NodeError(`${at} has no text in its field ${field}`, {
    hint: `Its fields are ${Object.keys(value).join(", ")}.`,
  });
}

async function textOf(file: NamedFile): Promise<string> {
  try {
    return (await readFile(file.path, "utf8")).replace(/^\uFEFF/, "");
  } catch (cause) {
    throw new NodeError(`${file.name} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function parsed(text: string, file: NamedFile): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new NodeError(`${file.name} is not JSON: ${(cause as Error).message}`, {
      cause,
      hint: "The file may have been cut off: copy it again from its source.",
    });
  }
}
