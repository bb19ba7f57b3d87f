import { createReadStream } from "node:fs";
import { NodeError } from "../../engine/sdk.ts";
import type { NamedFile } from "./csv.ts";

/**
 * The objects of a JSON lines file, one by one, so that a file of any size is read; empty lines are passed over.
 *
 * @throws NodeError naming file and line, where a line is no JSON object or the file cannot be read
 */
export async function* readJsonLines(
  file: NamedFile,
): AsyncGenerator<{ readonly line: number; readonly value: Readonly<Record<string, unknown>> }> {
  let line = 0;
  for await (const text of textLines(file)) {
    line++;
    if (text.trim() !== "") yield { line, value: objectOf(text, file, line) };
  }
}

/** Lines end at line feeds alone: node:readline also splits at U+2028, which a caption may hold. */
async function* textLines(file: NamedFile): AsyncGenerator<string> {
  const chunks = createReadStream(file.path, { encoding: "utf8", highWaterMark: 1 << 20 });
  let rest = "";
  let first = true;
  try {
    for await (const chunk of chunks as AsyncIterable<string>) {
      const lines = (rest + (first ? chunk.replace(/^\uFEFF/, "") : chunk)).split("\n");
      first = false;
      rest = lines.pop() ?? "";
      yield* lines;
    }
  } catch (cause) {
    if (cause instanceof NodeError || (cause as NodeJS.ErrnoException).code === undefined) throw cause;
    throw new NodeError(`${file.name} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (rest !== "") yield rest;
}

function objectOf(text: string, file: NamedFile, line: number): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new NodeError(`${file.name}:${line} is not JSON: ${(cause as Error).message}`, {
      cause,
      hint: "The file may have been cut off: copy it again from its source.",
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new NodeError(`${file.name}:${line} is not a JSON object`);
  }
  return value as Readonly<Record<string, unknown>>;
}
