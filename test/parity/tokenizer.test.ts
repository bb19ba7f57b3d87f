import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { cleanCaption, cleanWhitespace } from "../../nodes/text/clean.ts";
import { createClipTokenizer } from "../../nodes/text/clip-tokenizer.ts";
import { readMerges } from "../../nodes/text/merges.ts";
import { createWordPieceTokenizer } from "../../nodes/text/wordpiece.ts";
import { readWordPieceVocabulary } from "../../nodes/text/wordpiece-vocabulary.ts";

const golden = resolve(process.env["RANFLOW_GOLDEN"] ?? "../shared/golden");
/** Beside the golden folder, or where development keeps it: another golden set may lie by itself. */
const model = (path: string): string =>
  [resolve(golden, ".."), resolve("../shared")]
    .map((folder) => join(folder, "models", path))
    .find((place) => existsSync(place)) ?? "";
const vocabulary = model("clip-bpe/bpe_simple_vocab_16e6.txt.gz");
const bertVocabulary = model("bert");
const index = join(golden, "index.json");

interface Case {
  readonly id: string;
  readonly files: Readonly<Record<string, string>>;
  readonly config: {
    readonly clip: { context_length: number; sot: number; eot: number };
    readonly bert: { context_length: number; cls: number; sep: number; pad: number };
  };
}

interface Caption {
  readonly text: string;
  readonly clip_cleaned: string;
  readonly ids: readonly number[];
  readonly n_bpe_tokens: number;
  readonly truncated: boolean;
  readonly bert_text: string;
  readonly bert_ids: readonly number[];
  /** Without any cleaning, where that makes a difference. */
  readonly bert_ids_raw?: readonly number[];
}

const cases = existsSync(index)
  ? (JSON.parse(readFileSync(index, "utf8")) as { cases: Case[] }).cases.filter(({ id }) =>
      id.startsWith("tokenizer/"),
    )
  : [];
const missing =
  cases.length === 0
    ? " (skipped: no golden cases)"
    : !existsSync(vocabulary)
      ? " (skipped: no vocabulary)"
      : "";

describe.skipIf(missing !== "")(`CLIP tokeniser against open_clip${missing}`, () => {
  for (const { id, files, config } of cases) {
    for (const [role, file] of Object.entries(files)) {
      it(`${id} ${role}: cleaned text and ids of every caption`, async () => {
        const { clip } = config;
        const tokenizer = createClipTokenizer({
          merges: await readMerges(vocabulary),
          contextLength: clip.context_length,
        });
        expect([tokenizer.sot, tokenizer.eot]).toEqual([clip.sot, clip.eot]);
        const { captions } = JSON.parse(readFileSync(join(golden, file), "utf8")) as { captions: Caption[] };
        expect(captions.length).toBeGreaterThan(0);
        const got = captions.map(({ text }) => ({
          text,
          cleaned: cleanCaption(text),
          ids: [...tokenizer.encode(text)],
        }));
        expect(got).toEqual(
          captions.map(({ text, clip_cleaned, ids }) => ({ text, cleaned: clip_cleaned, ids })),
        );
      });
    }
  }
});

const bertMissing =
  cases.length === 0 ? " (skipped: no golden cases)" : bertVocabulary ? "" : " (skipped: no BERT vocabulary)";

describe.skipIf(bertMissing !== "")(`WordPiece against tokenizers${bertMissing}`, () => {
  for (const { id, files, config } of cases) {
    for (const [role, file] of Object.entries(files)) {
      it(`${id} ${role}: cleaned text and ids of every caption, raw too`, async () => {
        const { bert } = config;
        const options = {
          vocabulary: await readWordPieceVocabulary(bertVocabulary),
          contextLength: bert.context_length,
        };
        const tokenizer = createWordPieceTokenizer(options);
        const raw = createWordPieceTokenizer({ ...options, clean: false });
        expect(tokenizer).toMatchObject({ cls: bert.cls, sep: bert.sep, pad: bert.pad, vocabSize: 30_522 });
        const { captions } = JSON.parse(readFileSync(join(golden, file), "utf8")) as { captions: Caption[] };
        expect(captions.length).toBeGreaterThan(0);
        const got = captions.map(({ text }) => ({
          text,
          cleaned: cleanWhitespace(text),
          ids: [...tokenizer.encode(text)],
          raw: [...raw.encode(text)],
        }));
        expect(got).toEqual(
          captions.map(({ text, bert_text, bert_ids, bert_ids_raw = bert_ids }) => ({
            text,
            cleaned: bert_text,
            ids: bert_ids,
            raw: bert_ids_raw,
          })),
        );
      });
    }
  }
});
