import { z } from "zod";
import { NodeError, defineNode, port } from "../engine/sdk.ts";
import type { NamedFile } from "./data/csv.ts";
import { readJsonLines } from "./data/json-lines.ts";
import { loadDataset, scanDataset } from "./data/loader.ts";
import type { Dataset, DatasetRow } from "./data/loader.ts";
import { loaderInputs, loaderParams, rootProblem } from "./data/loader-params.ts";
import { growthOfLoader } from "./data/published-size.ts";
import type { DatasetFolder } from "./data/folder.ts";
import { partition } from "./data/sample.ts";
import { writePairs } from "./records.ts";

const params = z.object({
  ...loaderParams,
  split: z
    .enum(["train", "val", "valid", "test", "all"])
    .default("train")
    .meta({
      description:
        "part of the dataset, which has no official split: 65, 15 and 20 % of its figures, drawn by `seed`; " +
        "`valid` is another word for `val`",
    }),
  radiologyOnly: z.boolean().default(true).meta({ description: "leave out figures not marked as radiology" }),
  caption: z.enum(["s2_caption", "s2orc_caption"]).default("s2_caption").meta({
    description: "which of a figure's two captions to take; the other one where this one is null",
  }),
  stripPrefix: z
    .boolean()
    .default(true)
    .meta({ description: "take the figure's number, as in `Figure 1. `, off the caption's beginning" }),
});

type Params = z.output<typeof params>;

interface Row extends DatasetRow {
  readonly caption: string;
}

/** Shares of the splits that the paper prints: 141,089 / 32,559 / 43,412 of 217,060 figures. */
const shares = [0.65, 0.15, 0.2];
const parts: Readonly<Record<Params["split"], number | undefined>> = {
  train: 0,
  val: 1,
  valid: 1,
  test: 2,
  all: undefined,
};

/** Every release of the dataset has one such file. */
const tableName = /^s2_full_figures.*\.jsonl$/;

/**
 * `Figure 1. `, `Fig. 2A: `, `Fig. 2A-C: `, `FIGURE 3 | `, `Supplementary Figure S1 - ` and the like. The letter of a
 * word, as in `Figure 1 X-ray`, names no panel.
 */
const figurePrefix =
  /^(?:supplementa(?:ry|l)\s+)?fig(?:ure)?s?\.?\s*S?\d+\s*(?:[a-z](?:\s*[-\u2013,&]\s*[a-z])?(?!\p{L}|[-\u2013]\p{L}))?\s*(?:[.:|)\-\u2013\u2014]\s*)+/iu;

const medicat: Dataset<Params, Row> = {
  name: "medicat",
  layout: ["release/s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl", "release/figures/*.png"],
  nested: ["release", "medicat/release", "MedICaT/release"],
  isHere: async (folder) => (await tableOf(folder)) !== undefined,

  async read(folder, params, log) {
    const table = (await tableOf(folder))!;
    const figures: Figure[] = [];
    for await (const { line, value } of readJsonLines(folder.file(table))) {
      figures.push(figureOf(value, params, folder.file(table), line));
    }
    // Dealt out before any filter, so that a filter moves no figure from one split to another.
    const dealt = partition(figures.length, shares, params.seed);
    const part = parts[params.split];
    const wanted = figures.filter(
      ({ radiology }, index) =>
        (part === undefined || dealt[index] === part) && (radiology || !params.radiologyOnly),
    );
    const rows = wanted.flatMap(({ id, image, caption }) => (caption === "" ? [] : [{ id, image, caption }]));
    if (rows.length < wanted.length)
      log(`${wanted.length - rows.length} figures without a caption are left out`);
    return { tables: [table], rows };
  },

  async locator(folder) {
    const names = await folder.list("figures");
    return ({ image }) => (names?.has(image.slice("figures/".length)) ? image : undefined);
  },
};

interface Figure extends Row {
  readonly radiology: boolean;
}

async function tableOf(folder: DatasetFolder): Promise<string | undefined> {
  const names = [...((await folder.list("")) ?? [])].toSorted();
  return names.find((name) => tableName.test(name));
}

function figureOf(
  value: Readonly<Record<string, unknown>>,
  params: Params,
  file: NamedFile,
  line: number,
): Figure {
  const { pdf_hash: hash, fig_uri: uri, s2_caption: s2, s2orc_caption: s2orc, radiology } = value;
  const problem =
    typeof hash !== "string" || typeof uri !== "string"
      ? "pdf_hash and fig_uri must both be text"
      : [s2, s2orc].some(
            (caption) => caption !== null && caption !== undefined && typeof caption !== "string",
          )
        ? "s2_caption and s2orc_caption must be text or null"
        : hash.includes("/") || uri.includes("/")
          ? "pdf_hash and fig_uri make the image's file name and may hold no slash"
          : undefined;
  if (problem !== undefined) {
    throw new NodeError(`${file.name}:${line} is no MedICaT figure: ${problem}`, {
      hint: `Its fields are ${Object.keys(value).join(", ")}.`,
    });
  }
  const captions = (params.caption === "s2_caption" ? [s2, s2orc] : [s2orc, s2]) as (
    string | null | undefined
  )[];
  const caption = (captions.find((text) => text) ?? "").trim();
  const name = `${hash as string}_${uri as string}`;
  return {
    id: name.replace(/\.\w+$/, ""),
    image: `figures/${name}`,
    caption: params.stripPrefix ? caption.replace(figurePrefix, "") : caption,
    radiology: radiology === true,
  };
}

/** Loads MedICaT's figures with captions (Subramanian et al., Findings of EMNLP 2020). */
export const dataMedicat = defineNode({
  type: "data.medicat",
  version: 2,
  summary: "Reads MedICaT, figures of medical papers with their captions",
  details:
    "Layout: `release/s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl`, one figure a line, and " +
    "`release/figures/{pdf_hash}_{fig_uri}`. Image attacks take their targets from it.",
  inputs: loaderInputs,
  outputs: { pairs: port("pairs") },
  params,
  growth: growthOfLoader({ train: 141_089, val: 32_559, valid: 32_559, test: 43_412, all: 217_060 }, 270),
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(medicat, params, log),
  async run(context) {
    const loaded = await loadDataset(medicat, context);
    await writePairs(
      context.outputs.pairs.path,
      loaded.map(({ row, image }) => ({ id: row.id, image, caption: row.caption })),
    );
    context.log(`${loaded.length} pairs of MedICaT ${context.params.split}`);
  },
});
