import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { readPairs } from "../records.ts";
import { createClipTokenizer, learnMerges, readMerges, writeMerges } from "../text/index.ts";
import { wordPieceFile } from "./checkpoint.ts";
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

async function wordPieces({ source, files }: VocabularyRequest): Promise<ModelVocabulary> {
  const path = source === "file" ? files[0] : files.find((file) => basename(file) === wordPieceFile);
  if (path === undefined) {
    throw new NodeError(`the checkpoint's text tower is a BERT, and there is no ${wordPieceFile} beside it`, {
      hint: `Give the word pieces it was trained with, a ${wordPieceFile}, with \`vocabFile\`; they cannot be learned.`,
    });
  }
  const lines = (await readFile(path, "utf8")).replace(/\r?\n$/, "").split(/\r?\n/);
  if (!lines.includes("[CLS]") || !lines.includes("[SEP]")) {
    throw new NodeError(
      `${path} is no vocabulary of BERT: it has no word pieces [CLS] and [SEP], one a line`,
      {
        hint: `Give the ${wordPieceFile} that the checkpoint was trained with.`,
      },
    );
  }
  return { path, size: lines.length, origin: path };
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
    const file = source === "file" ? files[0] : files.find((one) => basename(one) !== wordPieceFile);
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
