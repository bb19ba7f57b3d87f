import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

const params = z.object({
  dataset: z.string().min(1).nullable().default(null).meta({
    description: "what tables call the dataset; needed with `pairs`, which do not say it, and else theirs",
  }),
  split: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .meta({ description: "what tables call the split; as `dataset`" }),
});

type Params = z.output<typeof params>;

const kinds = ["pairs", "images", "questions"];

function inputProblem({ dataset, split }: Params, bound: readonly string[]): string | undefined {
  const given = kinds.filter((kind) => bound.includes(kind));
  if (given.length !== 1) {
    return `it counts the records of one loader: bind one of the inputs ${kinds.join(", ")}, not ${given.length}`;
  }
  if (given[0] === "pairs" && (dataset === null || split === null)) {
    return "pairs do not say where they come from: give `dataset` and `split`";
  }
  return undefined;
}

export const dataStatistics = defineNode({
  type: "data.statistics",
  version: 1,
  summary: "Counts what a loader read: images, texts, answers, findings",
  details:
    "`images` are distinct pictures, by content. `texts` are captions or questions, `words` their mean length in words, " +
    "`answers` the questions answered and `distinctAnswers` the different answers, whatever their case. `findings` is " +
    "the mean number of labels that an image has, `prevalence.LABEL` the share of images with a label among those " +
    "where it is known.",
  inputs: {
    pairs: port("pairs", { optional: true }),
    images: port("images", { optional: true }),
    questions: port("questions", { optional: true }),
  },
  outputs: { metrics: port("metrics", { description: "dataset, split, and the counts that apply" }) },
  params,
  checkInputs: inputProblem,
  async run({ inputs, log, outputs, params }) {
    const { readCounted, statisticsOf } = await import("./metrics/statistics.ts");
    const { writeMetrics } = await import("./records.ts");
    const { counted, dataset = "", split = "" } = await readCounted(inputs);
    const counts = statisticsOf(counted);
    const of = { dataset: params.dataset ?? dataset, split: params.split ?? split };
    await writeMetrics(outputs.metrics.path, { ...of, headline: "images", ...counts });
    log(`${of.dataset} ${of.split}: ${String(counts["images"])} images`);
  },
});
