import { copyFile } from "node:fs/promises";
import { z } from "zod";
import { NodeError, defineNode, port, type NodeType } from "../engine/sdk.ts";
import type { ImageText } from "./formats.ts";
import { noiseOrder, noisyCount } from "./noise-order.ts";
import { readPairs, writePairs, writeTable } from "./records.ts";

/** Replaces a share of the clean pairs by their noisy version (METHOD 6). */
export const noiseMix: NodeType = defineNode({
  type: "noise.mix",
  version: 1,
  summary: "Replaces a share of the clean pairs by their noisy version",
  details: `
With N clean pairs and a share of γ %, the first round(γN / 100) pairs of one seeded permutation are replaced by the
noisy pairs of the same id; N and the order of the pairs stay as they are. The permutation does not depend on γ, so the
noisy sets of 5, 10, 20 and 30 % nest, and one attack at 30 % serves them all. The attacks use the same permutation:
give them the same seed and at least the same share.

\`pairs\` does not say which pairs are noisy; \`manifest\` does. At 0 % only \`clean\` is read, so that clean training
under any kind of noise is one step's work.`.trim(),
  inputs: {
    clean: port("pairs", { description: "all pairs" }),
    noisy: port("pairs", { description: "noisy versions, by id; others than those needed may be missing" }),
  },
  outputs: {
    pairs: port("pairs", { description: "all pairs, part of them noisy" }),
    manifest: port("table", { description: "id, noisy, seed, percent" }),
  },
  params: z.object({
    percent: z.number().min(0).max(100).meta({ unit: "%", description: "share of noisy pairs" }),
  }),
  reads: ({ percent }) => (percent === 0 ? ["clean"] : ["clean", "noisy"]),
  seeded: true,
  growth: { time: ({ bytes }) => bytes("clean"), space: ({ bytes }) => bytes("clean") },
  async run({ params: { percent }, inputs, outputs, seed, log }) {
    const clean = await readPairs(inputs.clean.path);
    const ids = uniqueIds(clean);
    const replaced = new Set(noiseOrder(ids, seed).slice(0, noisyCount(ids.length, percent)));
    if (replaced.size === 0) await copyFile(inputs.clean.path, outputs.pairs.path);
    else {
      const noisy = new Map((await readPairs(inputs.noisy.path)).map((pair) => [pair.id, pair]));
      checkPresent(replaced, noisy, { percent, seed });
      await writePairs(
        outputs.pairs.path,
        clean.map((pair) => (replaced.has(pair.id) ? (noisy.get(pair.id) as ImageText) : pair)),
      );
    }
    log(`${replaced.size} of ${ids.length} pairs are noisy`);
    await writeTable(
      outputs.manifest.path,
      ids.map((id) => ({ id, noisy: replaced.has(id), seed, percent })),
    );
  },
});

/** Ids in order. @throws NodeError where one occurs twice, since noise goes by id */
function uniqueIds(pairs: readonly ImageText[]): string[] {
  const seen = new Set<string>();
  for (const { id } of pairs) {
    if (seen.has(id))
      throw new NodeError(`the clean pairs hold the id ${JSON.stringify(id)} twice`, {
        hint: "noise goes by id: give every pair an id of its own",
      });
    seen.add(id);
  }
  return [...seen];
}

function checkPresent(
  wanted: ReadonlySet<string>,
  noisy: ReadonlyMap<string, ImageText>,
  { percent, seed }: { percent: number; seed: number },
): void {
  const missing = [...wanted].filter((id) => !noisy.has(id));
  if (missing.length === 0) return;
  throw new NodeError(
    `${missing.length} of the ${wanted.size} pairs that become noisy at ${percent} % have no noisy version, for ` +
      `instance ${JSON.stringify(missing[0])}; the noisy input holds ${noisy.size} pairs`,
    {
      hint: `attack the same clean pairs with the same seed (${seed}) and with percent ${percent} or more`,
    },
  );
}
