import { z } from "zod";
import { NodeError, defineNode, port, type NodeType } from "../engine/sdk.ts";
import { captionWords } from "./captions/word-changes.ts";
import type { ImageText } from "./formats.ts";
import { noiseOrder, noisyCount } from "./noise-order.ts";
import { randomStream, type Random } from "./random.ts";
import { readPairs, writePairs } from "./records.ts";

const params = z.object({
  mode: z.enum(["embed_gaussian", "token_replace", "caption_shuffle"]).default("embed_gaussian").meta({
    description:
      "Gaussian noise on the embeddings of the caption's tokens, which clip.pretrain adds; random words in place of some; or the caption of another pair",
  }),
  percent: z.number().min(0).max(100).default(100).meta({
    unit: "%",
    description: "share of pairs to make noisy: the first that `noise.mix` takes with the same seed",
  }),
  relSigma: z.number().min(0).default(0.1).meta({
    unit: "ratio",
    description:
      "embed_gaussian: standard deviation of the noise, relative to that of the model's embedding table",
  }),
  share: z.number().gt(0).max(1).default(0.15).meta({
    unit: "ratio",
    description: "token_replace: share of a caption's words to replace, at least one of them",
  }),
});

type Params = z.output<typeof params>;

/** Random noise on captions: what adversarial noise is compared with (METHOD 6, Table 3). */
export const noiseRandom: NodeType = defineNode({
  type: "noise.random",
  version: 1,
  summary: "Makes captions noisy at random: the control for adversarial noise",
  details: [
    "`embed_gaussian` leaves the caption and gives the record a field `captionNoise { relSigma, seed }`: `clip.pretrain` adds",
    "N(0, σ²) to the embeddings of its tokens, with σ = relSigma times the standard deviation of the initial model's embedding",
    "table. The noise of a pair is the same in every epoch. `token_replace` puts words in place of others, drawn from the distinct",
    "words of all captions; `caption_shuffle` gives a pair the caption of another one that reads differently.",
    "",
    "What becomes of a pair depends on all pairs and the seed, not on the share: the noisy sets of 5, 10, 20 and 30 % nest.",
    "`pairs` holds the noisy pairs only; mix them into the clean ones with `noise.mix`.",
  ].join("\n"),
  inputs: { pairs: port("pairs", { description: "clean pairs" }) },
  outputs: { pairs: port("pairs", { description: "the noisy pairs only" }) },
  params,
  seeded: true,
  growth: {
    time: ({ bytes, params: { percent } }) => percent * bytes("pairs"),
    space: ({ bytes, params: { percent } }) => percent * bytes("pairs"),
  },
  async run({ params: settings, inputs, outputs, seed, log }) {
    const clean = await readPairs(inputs.pairs.path);
    const ids = clean.map(({ id }) => id);
    const chosen = new Set(noiseOrder(ids, seed).slice(0, noisyCount(ids.length, settings.percent)));
    const noisy = noiseFor(clean, settings, seed);
    await writePairs(outputs.pairs.path, clean.filter(({ id }) => chosen.has(id)).map(noisy));
    log(`${chosen.size} of ${clean.length} captions are noisy: ${settings.mode}`);
  },
});

function noiseFor(
  clean: readonly ImageText[],
  { mode, relSigma, share }: Params,
  seed: number,
): (pair: ImageText) => ImageText {
  switch (mode) {
    case "embed_gaussian":
      return (pair) => ({ ...pair, captionNoise: { relSigma, seed } });
    case "token_replace": {
      const vocabulary = [...new Set(clean.flatMap(({ caption }) => captionWords(caption)))];
      return (pair) => ({
        ...pair,
        caption: withRandomWords(pair, { vocabulary, share, seed }),
      });
    }
    case "caption_shuffle": {
      const captions = [...new Set(clean.map(({ caption }) => caption))];
      if (captions.length === 1)
        throw new NodeError("all captions are the same: there is no other one to shuffle in", {
          hint: "Give more pairs, or use another mode.",
        });
      return (pair) => {
        const random = randomStream(seed, "caption-shuffle", pair.id);
        return { ...pair, caption: another(captions, pair.caption, random) };
      };
    }
  }
}

function withRandomWords(
  { id, caption }: ImageText,
  {
    vocabulary,
    share,
    seed,
  }: { readonly vocabulary: readonly string[]; readonly share: number; readonly seed: number },
): string {
  const words = captionWords(caption);
  const random = randomStream(seed, "token-replace", id);
  const count = Math.min(words.length, Math.max(1, Math.round(share * words.length)));
  for (const at of random.shuffle([...words.keys()]).slice(0, count))
    words[at] = another(vocabulary, words[at] as string, random);
  return words.join(" ");
}

/** One of the known texts, but not the present one, where there is another. */
function another(known: readonly string[], present: string, random: Random): string {
  if (known.length === 1) return present;
  let drawn = random.pick(known);
  while (drawn === present) drawn = random.pick(known);
  return drawn;
}
