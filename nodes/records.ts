/** Readers and writers of the record files that `formats.ts` describes. */
import { createReadStream, createWriteStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { NodeError, type BlobRef, type Digest, type Scalar } from "../engine/sdk.ts";
import type {
  ImageLabels,
  ImageQuestion,
  ImagesHeader,
  ImageText,
  MetricsRecord,
  QuestionsHeader,
} from "./formats.ts";

/** One row of a `table` file. */
export type TableRow = Readonly<Record<string, Scalar>>;

/** Reads a `pairs` file. @throws NodeError naming line and field of a malformed record */
export async function readPairs(path: string): Promise<ImageText[]> {
  const pairs: ImageText[] = [];
  for await (const { at, value } of jsonLines(path))
    pairs.push({
      id: text(value, "id", at),
      image: blob(value, at),
      caption: text(value, "caption", at),
      ...noiseOf(value, at),
    });
  return pairs;
}

/** Writes a `pairs` file. Equal records give equal bytes, whatever the order of their fields. */
export async function writePairs(
  path: string,
  records: Iterable<ImageText> | AsyncIterable<ImageText>,
): Promise<void> {
  await writeLines(path, records, ({ id, image, caption, captionNoise: noise }) => ({
    id,
    image: blobFields(image),
    caption,
    ...(noise && { captionNoise: { relSigma: noise.relSigma, seed: noise.seed } }),
  }));
}

/** Reads an `images` file. @throws NodeError naming line and field of a malformed record */
export async function readImages(path: string): Promise<{ header: ImagesHeader; records: ImageLabels[] }> {
  let header: ImagesHeader | undefined;
  const records: ImageLabels[] = [];
  for await (const { at, value } of jsonLines(path)) {
    if (!header) {
      header = {
        dataset: text(value, "dataset", at),
        split: text(value, "split", at),
        labels: labels(value, at),
      };
      continue;
    }
    const id = text(value, "id", at);
    records.push({ id, image: blob(value, at), y: answers(value, header.labels.length, at) });
  }
  if (!header)
    throw malformed(`${path} is empty`, "its first line is a header with dataset, split and labels");
  return { header, records };
}

/** Writes an `images` file. @throws Error where a record's `y` does not match the header's labels */
export async function writeImages(
  path: string,
  header: ImagesHeader,
  records: Iterable<ImageLabels>,
): Promise<void> {
  function* lines(): Generator<object> {
    yield { dataset: header.dataset, split: header.split, labels: header.labels };
    for (const { id, image, y } of records) {
      if (y.length !== header.labels.length)
        throw new Error(`internal error: record ${id} has ${y.length} labels of ${header.labels.length}`);
      yield { id, image: blobFields(image), y };
    }
  }
  await writeLines(path, lines(), (line) => line);
}

/** Reads a `questions` file. @throws NodeError naming line and field of a malformed record */
export async function readQuestions(
  path: string,
): Promise<{ header: QuestionsHeader; records: ImageQuestion[] }> {
  let header: QuestionsHeader | undefined;
  const records: ImageQuestion[] = [];
  for await (const { at, value } of jsonLines(path)) {
    if (!header) header = { dataset: text(value, "dataset", at), split: text(value, "split", at) };
    else records.push(question(value, at));
  }
  if (!header) throw malformed(`${path} is empty`, "its first line is a header with dataset and split");
  return { header, records };
}

/** Writes a `questions` file. */
export async function writeQuestions(
  path: string,
  header: QuestionsHeader,
  records: Iterable<ImageQuestion>,
): Promise<void> {
  function* lines(): Generator<object> {
    yield { dataset: header.dataset, split: header.split };
    for (const { id, image, question, answer, answerType, lang } of records) {
      yield { id, image: blobFields(image), question, answer, answerType, lang };
    }
  }
  await writeLines(path, lines(), (line) => line);
}

/** Reads a `table` file. @throws NodeError naming line and field of a row that is not flat */
export async function readTable(path: string): Promise<TableRow[]> {
  const rows: TableRow[] = [];
  for await (const { at, value } of jsonLines(path)) rows.push(flat(value, at));
  return rows;
}

/** Writes a `table` file: one row a line, fields in the order given. */
export async function writeTable(
  path: string,
  rows: Iterable<TableRow> | AsyncIterable<TableRow>,
): Promise<void> {
  await writeLines(path, rows, (row) => finite(row));
}

/** Reads a `metrics` file. @throws NodeError where it is not one flat JSON object */
export async function readMetrics(path: string): Promise<MetricsRecord> {
  return flat(parse(await readFile(path, "utf8"), path), path);
}

/** Writes a `metrics` file, in the order given. A value that is NaN or infinite becomes null. */
export async function writeMetrics(path: string, record: MetricsRecord): Promise<void> {
  await writeFile(path, `${JSON.stringify(finite(record))}\n`);
}

type Fields = Readonly<Record<string, unknown>>;

async function* jsonLines(path: string): AsyncGenerator<{ at: string; value: Fields }> {
  let line = 0;
  for await (const content of textLines(path)) {
    line += 1;
    if (content.trim() === "") continue;
    const at = `${path}:${line}`;
    yield { at, value: parse(content, at) };
  }
}

/** Lines end at line feeds alone: node:readline also splits at U+2028, which captions may hold. */
async function* textLines(path: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of createReadStream(path, "utf8") as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

function parse(content: string, at: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw malformed(`${at} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw malformed(`${at} is not a JSON object`);
  return value as Fields;
}

async function writeLines<T>(
  path: string,
  records: Iterable<T> | AsyncIterable<T>,
  fields: (record: T) => object,
): Promise<void> {
  async function* chunks(): AsyncGenerator<string> {
    let chunk = "";
    for await (const record of records) {
      chunk += `${JSON.stringify(fields(record))}\n`;
      if (chunk.length < 65_536) continue;
      yield chunk;
      chunk = "";
    }
    yield chunk;
  }
  await pipeline(Readable.from(chunks()), createWriteStream(path));
}

/** Names the fields one by one, so that a record's bytes do not depend on who made it. */
function blobFields({ digest, size }: BlobRef): BlobRef {
  return { digest, size };
}

function text(value: Fields, field: string, at: string): string {
  const found = value[field];
  if (typeof found !== "string") throw malformed(`${at}: field ${field} is ${kind(found)}, not text`);
  return found;
}

function blob(value: Fields, at: string): BlobRef {
  const image = value["image"];
  if (typeof image !== "object" || image === null)
    throw malformed(`${at}: field image is ${kind(image)}, not { digest, size }`);
  const { digest, size } = image as Fields;
  if (typeof digest !== "string" || !/^sha256:[0-9a-f]{64}$/.test(digest))
    throw malformed(`${at}: field image.digest is not "sha256:" and 64 hexadecimal digits`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw malformed(`${at}: field image.size is ${kind(size)}, not a number of bytes`);
  return { digest: digest as Digest, size };
}

function noiseOf(value: Fields, at: string): Pick<ImageText, "captionNoise"> {
  const noise = value["captionNoise"];
  if (noise === undefined) return {};
  const { relSigma, seed } = (noise ?? {}) as Fields;
  if (typeof relSigma === "number" && typeof seed === "number") return { captionNoise: { relSigma, seed } };
  throw malformed(`${at}: field captionNoise is not { relSigma, seed }`);
}

function question(value: Fields, at: string): ImageQuestion {
  const answerType = value["answerType"];
  if (answerType !== "open" && answerType !== "closed")
    throw malformed(`${at}: field answerType is ${kind(answerType)}, not "open" or "closed"`);
  return {
    id: text(value, "id", at),
    image: blob(value, at),
    question: text(value, "question", at),
    answer: text(value, "answer", at),
    answerType,
    lang: text(value, "lang", at),
  };
}

function labels(value: Fields, at: string): string[] {
  const found = value["labels"];
  if (!Array.isArray(found) || !found.every((label) => typeof label === "string"))
    throw malformed(`${at}: field labels is ${kind(found)}, not a list of names`);
  return found;
}

function answers(value: Fields, count: number, at: string): (0 | 1 | null)[] {
  const y = value["y"];
  if (!Array.isArray(y)) throw malformed(`${at}: field y is ${kind(y)}, not a list`);
  if (y.length !== count)
    throw malformed(`${at}: field y has ${y.length} values where the header names ${count} labels`);
  const wrong = y.findIndex((answer) => answer !== 0 && answer !== 1 && answer !== null);
  if (wrong >= 0) throw malformed(`${at}: field y[${wrong}] is ${kind(y[wrong])}, not 0, 1 or null`);
  return y as (0 | 1 | null)[];
}

function flat(value: Fields, at: string): TableRow {
  for (const [field, found] of Object.entries(value))
    if (typeof found === "object" && found !== null)
      throw malformed(`${at}: field ${field} is ${kind(found)}, not a single value`);
  return value as TableRow;
}

/** JSON has no NaN and no infinities; null is what they become. */
function finite(row: TableRow): TableRow {
  return Object.fromEntries(
    Object.entries(row).map(([field, value]) => [
      field,
      typeof value === "number" && !Number.isFinite(value) ? null : value,
    ]),
  );
}

function kind(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : JSON.stringify(value);
}

function malformed(message: string, hint = "the file was changed after it was written"): NodeError {
  return new NodeError(message, { hint });
}
