import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError, type InputArtifact } from "../engine/sdk.ts";
import type { ImageQuestion, TokensHeader, TokensRecord } from "./formats.ts";
import { isFiniteHalf } from "./half.ts";
import { readSafetensors, writeSafetensors, type StoredTensor } from "./safetensors.ts";

/** Frozen tokens of the images and questions of a dataset. */
export interface Tokens {
  readonly header: TokensHeader;
  readonly image: {
    /** Tokens of each image. */
    readonly count: number;
    readonly width: number;
    /** [images, count, width] row-major. */
    readonly values: Float32Array;
  };
  readonly text: {
    readonly width: number;
    /** [tokens of all questions, width] row-major. */
    readonly values: Float32Array;
    /** First row of each question. */
    readonly starts: readonly number[];
  };
}

const tensorsFile = "tokens.safetensors";
const headerFile = "tokens.json";

/** Half-precision values of a tensor and its shape. */
interface Halves {
  readonly shape: readonly number[];
  readonly data: Uint16Array;
}

/**
 * Writes a `tokens` artifact.
 *
 * @param folder an existing empty folder
 * @param tensors image [images, N, W] and text [tokens of all questions, V], as `toHalves` gives them
 * @throws NodeError where a value is not a finite number of half precision
 */
export async function writeTokens(
  folder: string,
  header: TokensHeader,
  tensors: { readonly image: Halves; readonly text: Halves },
): Promise<void> {
  for (const [name, { data }] of Object.entries(tensors)) {
    if (data.every(isFiniteHalf)) continue;
    throw new NodeError(`not all ${name} tokens of ${header.dataset} (${header.split}) are finite numbers`, {
      hint: "The model may have diverged: look at its loss. Half precision holds numbers up to 65504.",
    });
  }
  await writeSafetensors(join(folder, tensorsFile), Object.entries(tensors));
  await writeFile(join(folder, headerFile), `${JSON.stringify(header)}\n`);
}

/**
 * The records of questions whose images and texts are kept once each.
 *
 * @param rows the row of each question's image, and of its text
 */
export function tokensRecords(
  questions: readonly ImageQuestion[],
  rows: { readonly images: readonly number[]; readonly texts: readonly number[] },
): readonly TokensRecord[] {
  return questions.map(({ id, answer, answerType }, at) => ({
    id,
    image: rows.images[at]!,
    question: rows.texts[at]!,
    answer,
    answerType,
  }));
}

/** Reads a `tokens` artifact. @throws NodeError where a file is damaged, or header and tensors do not fit */
export async function readTokens(artifact: InputArtifact): Promise<Tokens> {
  const { path } = artifact.file(tensorsFile);
  const { tensors } = await readSafetensors(path);
  const header = JSON.parse(await readFile(artifact.file(headerFile).path, "utf8")) as TokensHeader;
  const image = tensors.get("image");
  const text = tensors.get("text");
  const starts: number[] = [];
  let rows = 0;
  for (const { length } of header.questions) {
    starts.push(rows);
    rows += length;
  }
  const images = header.records.reduce((most, record) => Math.max(most, record.image + 1), 0);
  if (!isFloat(image, 3) || !isFloat(text, 2) || text.shape[0] !== rows || image.shape[0]! < images) {
    throw new NodeError(
      `${path} does not hold the tokens of ${images} images and ${header.questions.length} questions (${rows} tokens)`,
      { hint: "Run the step that made the tokens again with --force." },
    );
  }
  return {
    header,
    image: { count: image.shape[1]!, width: image.shape[2]!, values: image.data },
    text: { width: text.shape[1]!, values: text.data, starts },
  };
}

function isFloat(
  tensor: StoredTensor | undefined,
  rank: number,
): tensor is StoredTensor & { readonly data: Float32Array } {
  return tensor !== undefined && tensor.shape.length === rank && tensor.data instanceof Float32Array;
}
