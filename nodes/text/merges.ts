import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { NodeError } from "../../engine/sdk.ts";

/** How many merges of OpenAI's list CLIP uses: 49,408 ids less 512 symbols and two marks. */
const clipMerges = 49_152 - 256 - 2;

/** Vocabulary files that checkpoints come with, in the order in which they are looked for. */
export const vocabularyFiles = ["merges.txt", "tokenizer.json", "bpe_simple_vocab_16e6.txt.gz"] as const;

const inflate = promisify(gunzip);

/**
 * Reads BPE merges: `bpe_simple_vocab_16e6.txt(.gz)` (cut to CLIP's 48,894), a `merges.txt`, a Hugging Face
 * `tokenizer.json`, or a checkpoint's folder that holds one of them.
 *
 * @returns `"left right"`, first to be merged first
 * @throws NodeError where there is no vocabulary, or it cannot be understood
 */
export async function readMerges(path: string): Promise<string[]> {
  const file = await vocabularyFile(path);
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new NodeError(`cannot read the vocabulary ${file}: ${String(cause)}`, { cause });
  });
  const content = await unpack(file, bytes);
  const merges = file.endsWith(".json") ? jsonMerges(file, content) : textMerges(file, content);
  if (merges.length === 0) throw notVocabulary(file, "it lists no merges");
  return merges;
}

/** Writes merges as a `merges.txt`. */
export async function writeMerges(path: string, merges: readonly string[]): Promise<void> {
  await writeFile(path, `${["#version: 0.2", ...merges].join("\n")}\n`);
}

async function vocabularyFile(path: string): Promise<string> {
  const place = await stat(path).catch(() => undefined);
  if (!place)
    throw new NodeError(`there is no vocabulary at ${path}`, {
      hint: `name ${vocabularyFiles.join(", ")}, or a folder with one of them`,
    });
  if (!place.isDirectory()) return path;
  for (const name of vocabularyFiles) {
    const file = join(path, name);
    if (await stat(file).catch(() => undefined)) return file;
  }
  throw new NodeError(`${path} holds no vocabulary`, {
    hint: `put ${vocabularyFiles.join(" or ")} there, or name a file, or learn one from the captions`,
  });
}

async function unpack(file: string, bytes: Buffer): Promise<string> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString("utf8");
  try {
    return (await inflate(bytes, { maxOutputLength: 64_000_000 })).toString("utf8");
  } catch (cause) {
    throw notVocabulary(file, "it cannot be inflated: it is damaged or incomplete", cause);
  }
}

function textMerges(file: string, content: string): string[] {
  const lines = content.split(/\r?\n/);
  const header = /^"?bpe_simple_vocab|^#version/.test(lines[0] ?? "") ? 1 : 0;
  // OpenAI's list goes on past what CLIP uses.
  const used = lines.slice(header, header + clipMerges);
  const merges: string[] = [];
  for (const [index, line] of used.entries()) {
    if (line === "" && used.slice(index).every((rest) => rest === "")) break;
    if (!/^[^ ]+ [^ ]+$/.test(line))
      throw notVocabulary(
        file,
        `line ${index + header + 1} is not two symbols: ${JSON.stringify(line.slice(0, 60))}`,
      );
    merges.push(line);
  }
  return merges;
}

function jsonMerges(file: string, content: string): string[] {
  let merges: unknown;
  try {
    merges = (JSON.parse(content) as { model?: { merges?: unknown } }).model?.merges;
  } catch (cause) {
    throw notVocabulary(file, "it is not JSON", cause);
  }
  if (!Array.isArray(merges))
    throw notVocabulary(file, "it has no list model.merges: the tokeniser is no BPE");
  return merges.map((merge: unknown, index) => {
    const written = Array.isArray(merge) ? merge.join(" ") : merge;
    if (typeof written !== "string" || !/^[^ ]+ [^ ]+$/.test(written))
      throw notVocabulary(file, `model.merges[${index}] is not two symbols`);
    return written;
  });
}

function notVocabulary(file: string, why: string, cause?: unknown): NodeError {
  return new NodeError(`${file} is no BPE vocabulary: ${why}`, {
    hint: `give ${vocabularyFiles.join(", ")}, or learn a vocabulary from the captions`,
    cause,
  });
}
