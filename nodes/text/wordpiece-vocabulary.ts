import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";

/** Vocabulary files that BERT checkpoints come with, in the order in which they are looked for. */
export const wordPieceFiles = ["vocab.txt", "tokenizer.json"] as const;

const needed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/**
 * Reads a WordPiece vocabulary: a `vocab.txt` of one token a line, a Hugging Face `tokenizer.json`, or a checkpoint's
 * folder that holds one of them.
 *
 * @returns tokens by id
 * @throws NodeError where there is no vocabulary, or it is none of WordPiece
 */
export async function readWordPieceVocabulary(path: string): Promise<string[]> {
  const file = await vocabularyFile(path);
  const content = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new NodeError(`cannot read the vocabulary ${file}: ${String(cause)}`, { cause });
  });
  const vocabulary = file.endsWith(".json")
    ? jsonVocabulary(file, content)
    : content.replace(/\r?\n$/, "").split(/\r?\n/);
  const missing = needed.filter((mark) => !vocabulary.includes(mark));
  if (missing.length > 0) throw notVocabulary(file, `it lacks ${missing.join(", ")}`);
  return vocabulary;
}

async function vocabularyFile(path: string): Promise<string> {
  const place = await stat(path).catch(() => undefined);
  if (!place)
    throw new NodeError(`there is no vocabulary at ${path}`, {
      hint: `name ${wordPieceFiles.join(" or ")}, or a folder with one of them`,
    });
  if (!place.isDirectory()) return path;
  for (const name of wordPieceFiles) {
    const file = join(path, name);
    if (await stat(file).catch(() => undefined)) return file;
  }
  throw new NodeError(`${path} holds no WordPiece vocabulary`, {
    hint: `put the ${wordPieceFiles.join(" or ")} of its BERT there, or name a file`,
  });
}

function jsonVocabulary(file: string, content: string): string[] {
  let vocabulary: unknown;
  try {
    vocabulary = (JSON.parse(content) as { model?: { vocab?: unknown } } | null)?.model?.vocab;
  } catch (cause) {
    throw notVocabulary(file, "it is not JSON", cause);
  }
  if (typeof vocabulary !== "object" || vocabulary === null || Array.isArray(vocabulary))
    throw notVocabulary(file, "it has no model.vocab");
  const tokens: string[] = [];
  const entries = Object.entries(vocabulary);
  for (const [token, id] of entries) {
    if (!Number.isInteger(id) || id < 0 || id >= entries.length || tokens[id] !== undefined)
      throw notVocabulary(file, `the id of ${JSON.stringify(token)} is ${JSON.stringify(id)}`);
    tokens[id] = token;
  }
  return tokens;
}

function notVocabulary(file: string, why: string, cause?: unknown): NodeError {
  return new NodeError(`${file} is no WordPiece vocabulary: ${why}`, {
    hint: `give the ${wordPieceFiles.join(" or ")} that the BERT was trained with`,
    cause,
  });
}
