import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { RunContext } from "../../engine/sdk.ts";
import { decodeImageBytes } from "../data/decode.ts";
import type { VlmParams } from "../external-vlm.ts";
import { answerText } from "./openai.ts";
import { noTokens, type VlmAnswer } from "./vlm.ts";

/** A line of a file of answers. */
export interface AnswerLine {
  readonly id: string;
  readonly text?: string;
  /** Path as it stands there. */
  readonly image?: string;
}

/** Lines of a file of answers; those that make no sense are told of and passed over: a program may end in the middle of one. */
export async function readAnswers(
  path: string,
  tell: (message: string) => void,
): Promise<ReadonlyMap<string, AnswerLine>> {
  const found = new Map<string, AnswerLine>();
  const lines = (await readFile(path, "utf8")).split("\n");
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const { id, text, image } = objectIn(line);
    if (typeof id === "string" && typeof text === "string") found.set(id, { id, text });
    else if (typeof id === "string" && typeof image === "string") found.set(id, { id, image });
    else tell(`${path}:${index + 1} is no answer: it wants { "id", "text" } or { "id", "image" }`);
  }
  return found;
}

function objectIn(line: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(line) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

/**
 * What a line says about an item.
 *
 * @param fileOf where the image lies that a line names
 * @param missing why there is no line, where there is none
 */
export async function answerOf(
  { params, blobs }: Pick<RunContext<VlmParams>, "params" | "blobs">,
  id: string,
  line: AnswerLine | undefined,
  {
    missing,
    fileOf,
    passing,
  }: { readonly missing: string; readonly passing: boolean; fileOf(image: string): string },
): Promise<VlmAnswer> {
  const failed = (reason: string): VlmAnswer => ({
    failed: reason,
    passing,
    message: `there is no answer about ${id}: ${reason}`,
    attempts: 1,
    tokens: noTokens,
  });
  if (!line) return failed(missing);
  if (params.produce === "caption") {
    const text = answerText(line.text ?? "");
    return text === "" ? failed("empty answer") : { text, attempts: 1, tokens: noTokens };
  }
  if (line.image === undefined) return failed("empty answer");
  try {
    const bytes = await readFile(fileOf(line.image));
    await decodeImageBytes(bytes, line.image);
    return { image: await blobs.put(bytes), attempts: 1, tokens: noTokens };
  } catch {
    return failed("no image that can be read");
  }
}

/** Where an image lies that a file of answers names. */
export function besideAnswers(answers: string): (image: string) => string {
  return (image) => resolve(dirname(answers), image);
}
