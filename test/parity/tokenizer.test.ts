import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { cleanCaption } from "../../nodes/text/clean.ts";
import { createClipTokenizer } from "../../nodes/text/clip-tokenizer.ts";
import { readMerges } from "../../nodes/text/merges.ts";

const golden = resolve(process.env["RANFLOW_GOLDEN"] ?? "../shared/golden");
/** Beside the golden folder, or where development keeps it: another golden set may lie by itself. */
const places = [resolve(golden, ".."), resolve("../shared")].map((folder) =>
  join(folder, "models", "clip-bpe", "bpe_simple_vocab_16e6.txt.gz"),
);
const vocabulary = places.find((place) => existsSync(place)) ?? "";
const index = join(golden, "index.json");

interface Case {
  readonly id: string;
  readonly files: Readonly<Record<string, string>>;
  readonly config: { readonly clip: { context_length: number; sot: number; eot: number } };
}

interface Caption {
  readonly text: string;
  readonly clip_cleaned: string;
  readonly ids: readonly number[];
  readonly n_bpe_tokens: number;
  readonly truncated: boolean;
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
