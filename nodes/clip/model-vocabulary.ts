import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { readPairs } from "../records.ts";
import {
  createClipTokenizer,
  learnMerges,
  learnWordPieces,
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

async function wordPieces(request: VocabularyRequest): Promise<ModelVocabulary> {
  const { pieces, origin } =
    request.source === "learned" ? await learnedPieces(request) : await givenPieces(request);
  const path = join(request.scratch, "vocab.txt");
  await writeFile(path, `${pieces.join("\n")}\n`);
  return { path, size: pieces.length, origin };
}

async function learnedPieces(
  request: VocabularyRequest,
): Promise<{ readonly pieces: readonly string[]; readonly origin: string }> {
  const captions = await captionsToLearnFrom(request);
  const pieces = learnWordPieces(captions, request.vocabSize ?? request.text.vocab_size);
  request.log(`learned ${pieces.length} word pieces from ${captions.length} captions`);
  return { pieces, origin: learned };
}

async function givenPieces({
  source,
  files,
}: VocabularyRequest): Promise<{ readonly pieces: readonly string[]; readonly origin: string }> {
  const origin = source === "file" ? files[0] : firstOf(wordPieceFiles, files);
  if (origin !== undefined) return { pieces: await readWordPieceVocabulary(origin), origin };
  const wanted = wordPieceFiles.join(" or ");
  throw new NodeError(`the checkpoint's text tower is a BERT, and there is no ${wanted} beside it`, {
    hint: `Give the word pieces it was trained with, a ${wanted}, with \`vocabFile\`.`,
  });
}

const learned = "learned from the captions";

/** @throws NodeError where none are bound */
async function captionsToLearnFrom({ captions }: VocabularyRequest): Promise<readonly string[]> {
  if (captions !== undefined) return (await readPairs(captions)).map(({ caption }) => caption);
  throw new NodeError("a vocabulary is to be learned, but no captions are bound", {
    hint: "Bind `captions` to pairs, or give `vocabFile` or a checkpoint with a vocabulary.",
  });
}

async function merges(request: VocabularyRequest): Promise<ModelVocabulary> {
  const { source, text, files, scratch, log } = request;
  const path = join(scratch, "merges.txt");
  let list: string[];
  let origin: string;
  if (source === "learned") {
    const captions = await captionsToLearnFrom(request);
    list = learnMerges(captions, request.vocabSize ?? text.vocab_size);
    log(`learned ${list.length} merges from ${captions.length} captions`);
    origin = learned;
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
