import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { readPairs } from "../records.ts";
import {
  createClipTokenizer,
  learnMerges,
  readMerges,
  readWordPieceVocabulary,
  vocabularyFiles,
  wordPieceFiles,
  writeMerges,
} from "../text/index.ts";
import type { TextConfig } from "./config.ts";

/** Where a vocabulary comes from: a file that is named, the checkpoint's folder, or captions to learn it from. */
export type VocabularySource = "file" | "checkpoint" | "learned";

export interface VocabularyRequest {
  readonly source: VocabularySource;
  /** What the vocabulary is for. */
  readonly text: TextConfig;
  /** Paths of the files found: the one that is named, or those beside the checkpoint. */
  readonly files: readonly string[];
  /** Path of the pairs to learn from. */
  readonly captions: string | undefined;
  /** Entries of a learned vocabulary; the architecture's unless told. */
  readonly vocabSize: number | undefined;
  /** A folder for what is made here. */
  readonly scratch: string;
  log(line: string): void;
}

/** A vocabulary as a model's folder holds it. */
export interface ModelVocabulary {
  /** Path of a merges.txt, or for BERT of a vocab.txt. */
  readonly path: string;
  /** Number of ids. */
  readonly size: number;
  /** Where it comes from, for messages. */
  readonly origin: string;
}

/** @throws NodeError where there is no vocabulary, or it is no vocabulary of the text tower's kind */
export async function modelVocabulary(request: VocabularyRequest): Promise<ModelVocabulary> {
  return request.text.tower === "bert" ? wordPieces(request) : merges(request);
}

async function wordPieces({ source, files, scratch }: VocabularyRequest): Promise<ModelVocabulary> {
  const origin = source === "file" ? files[0] : firstOf(wordPieceFiles, files);
  if (origin === undefined) {
    const wanted = wordPieceFiles.join(" or ");
    throw new NodeError(`the checkpoint's text tower is a BERT, and there is no ${wanted} beside it`, {
      hint: `Give the word pieces it was trained with, a ${wanted}, with \`vocabFile\`; they cannot be learned.`,
    });
  }
  const pieces = await readWordPieceVocabulary(origin);
  const path = join(scratch, "vocab.txt");
  await writeFile(path, `${pieces.join("\n")}\n`);
  return { path, size: pieces.length, origin };
}

async function merges(request: VocabularyRequest): Promise<ModelVocabulary> {
  const { source, text, files, scratch, log } = request;
  const path = join(scratch, "merges.txt");
  let list: string[];
  let origin: string;
  if (source === "learned") {
    if (request.captions === undefined) {
      throw new NodeError("a vocabulary is to be learned, but no captions are bound", {
        hint: "Bind `captions` to pairs, or give `vocabFile` or a checkpoint with a vocabulary.",
      });
    }
    const pairs = await readPairs(request.captions);
    list = learnMerges(
      pairs.map(({ caption }) => caption),
      request.vocabSize ?? text.vocab_size,
    );
    log(`learned ${list.length} merges from ${pairs.length} captions`);
    origin = "learned from the captions";
  } else {
    const file = source === "file" ? files[0] : firstOf(vocabularyFiles, files);
    if (file === undefined) {
      throw new NodeError("the checkpoint has no vocabulary beside it", {
        hint: "Give `vocabFile`, or `vocab: learned` with random weights.",
      });
    }
    list = await readMerges(file);
    origin = file;
  }
  await writeMerges(path, list);
  const { vocabSize } = createClipTokenizer({ merges: list, contextLength: text.context_length });
  return { path, size: vocabSize, origin };
}

/** The file whose name comes first in a list of names. */
function firstOf(names: readonly string[], files: readonly string[]): string | undefined {
  return names.flatMap((name) => files.find((file) => basename(file) === name) ?? [])[0];
}
