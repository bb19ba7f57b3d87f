import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

const params = z.object({
  center: z.enum(["column", "row", "none"]).default("column").meta({
    description: "subtract the mean of each feature, of each sample (as NMTune's code does), or nothing",
  }),
  normalize: z.boolean().default(true).meta({ description: "divide each feature vector by its norm first" }),
});

export const analyzeSpectrum = defineNode({
  type: "analyze.spectrum",
  version: 1,
  summary:
    "Measures how features spread over directions: singular values, their entropy and the largest one's share",
  details: [
    "With the singular values s of the [N, D] feature matrix and p_i = s_i / sum s:",
    "`sve` = -sum p_i ln p_i, the singular value entropy, and `lsvr` = -ln(s_1 / sum s), the largest singular value",
    "ratio (Chen et al., 2024). Noise in pre-training shows in both.",
  ].join("\n"),
  inputs: { features: port("features") },
  outputs: {
    metrics: port("metrics", { description: "dataset, split, headline, sve, lsvr, n, dim" }),
    spectrum: port("table", {
      description: "one row per singular value, largest first: index, value, share",
    }),
  },
  params,
  async run({ inputs, log, outputs, params }) {
    const { readFeatures } = await import("./features.ts");
    const { matrix } = await import("./heads/matrix.ts");
    const { spectrumOf } = await import("./metrics/spectrum.ts");
    const { writeMetrics, writeTable } = await import("./records.ts");
    const { count, dim, features, header } = await readFeatures(inputs.features);
    const { lsvr, singularValues, sve } = spectrumOf(matrix(count, dim, features), params);
    const sum = singularValues.reduce((total, value) => total + value, 0);
    await writeMetrics(outputs.metrics.path, {
      dataset: header.dataset,
      split: header.split,
      headline: "sve",
      sve,
      lsvr,
      n: count,
      dim,
    });
    await writeTable(
      outputs.spectrum.path,
      Array.from(singularValues, (value, index) => ({ index, value, share: sum === 0 ? 0 : value / sum })),
    );
    log(`singular value entropy ${sve.toFixed(4)}, largest singular value ratio ${lsvr.toFixed(4)}`);
  },
});
