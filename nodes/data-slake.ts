import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { holds } from "./data/folder.ts";
import type { DatasetFolder } from "./data/folder.ts";
import { readJsonList, textField } from "./data/json-list.ts";
import { loadDataset, scanDataset } from "./data/loader.ts";
import type { Dataset } from "./data/loader.ts";
import { loaderInputs, loaderParams, rootProblem } from "./data/loader-params.ts";
import { growthOfLoader } from "./data/published-size.ts";
import { answerTypeOf, imagePlace, questionCount, questionRecords } from "./data/question-fields.ts";
import type { QuestionRow } from "./data/question-fields.ts";
import { writeQuestions } from "./records.ts";

const params = z.object({
  ...loaderParams,
  split: z
    .enum(["train", "val", "valid", "test"])
    .default("train")
    .meta({ description: "official split; `valid` is another word for `val`" }),
  lang: z
    .enum(["en", "zh", "all"])
    .default("en")
    .meta({
      description:
        "language of the questions. Images are dealt out to the splits for each language by itself: with `all`, images " +
        "of the test split are in the train split of the other language",
    }),
});

type Params = z.output<typeof params>;

/** Tables of each split; the validation table has another name in one spread copy. */
const tables: Readonly<Record<Params["split"], readonly string[]>> = {
  train: ["train.json"],
  val: ["validate.json", "validation.json"],
  valid: ["validate.json", "validation.json"],
  test: ["test.json"],
};

const slake: Dataset<Params, QuestionRow> = {
  name: "slake",
  layout: ["train.json, validate.json, test.json", "imgs/xmlab1/source.jpg"],
  nested: ["Slake1.0", "SLAKE", "Slake"],
  isHere: async (folder, { split }) => (await tableOf(folder, split)) !== undefined,

  async read(folder, { lang, split }, log) {
    const table = (await tableOf(folder, split))!;
    const entries = await readJsonList(folder.file(table));
    const rows = entries.map((entry): QuestionRow => {
      const image = imagePlace(entry, "img_name");
      return {
        id: textField(entry, "qid"),
        image: `imgs/${image}`,
        question: textField(entry, "question"),
        answer: textField(entry, "answer"),
        answerType: answerTypeOf(entry),
        lang: textField(entry, "q_lang"),
      };
    });
    if (lang === "all") {
      log("With the questions of both languages, some images are in the train split and in the test split");
    }
    return { tables: [table], rows: rows.filter((row) => lang === "all" || row.lang === lang) };
  },

  async locator(folder) {
    const flat = (await folder.list("imgs")) ?? new Set();
    return async ({ image }) => {
      // One spread copy has `source_xmlab1.jpg` for `xmlab1/source.jpg`.
      const [, place, file] = /^imgs\/([^/]+)\/([^/]+)$/.exec(image) ?? [];
      if (flat.has(`${file?.replace(/\.\w+$/, "")}_${place}.jpg`)) {
        return `imgs/${file?.replace(/\.\w+$/, "")}_${place}.jpg`;
      }
      return (await holds(folder, image)) ? image : undefined;
    };
  },
};

async function tableOf(folder: DatasetFolder, split: Params["split"]): Promise<string | undefined> {
  const there = await folder.list("");
  return tables[split].find((name) => there?.has(name));
}

/** Loads SLAKE (Liu et al., ISBI 2021). */
export const dataSlake = defineNode({
  type: "data.slake",
  version: 2,
  summary: "Reads SLAKE, questions on radiology images with their answers",
  details:
    "Layout: `train.json`, `validate.json` (or `validation.json`) and `test.json`, lists of questions, and the images " +
    "in `imgs/xmlab1/source.jpg` and so on. Questions are in English and Chinese, and the splits are by image for " +
    "each language alone. Closed questions are those that a few words answer: yes and no, but also left, liver, T2.",
  inputs: loaderInputs,
  outputs: { questions: port("questions") },
  params,
  growth: growthOfLoader({ train: 4_919, val: 1_053, valid: 1_053, test: 1_061 }, 280),
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(slake, params, log),
  async run(context) {
    const { split } = context.params;
    const records = questionRecords(await loadDataset(slake, context));
    const header = { dataset: "slake", split: split === "valid" ? "val" : split };
    await writeQuestions(context.outputs.questions.path, header, records);
    context.log(`${questionCount(records)} of SLAKE ${split}`);
  },
});
