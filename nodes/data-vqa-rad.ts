import { z } from "zod";
import { NodeError, defineNode, port } from "../engine/sdk.ts";
import type { DatasetFolder } from "./data/folder.ts";
import { readJsonList, textField } from "./data/json-list.ts";
import type { ListedObject } from "./data/json-list.ts";
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
    .enum(["train", "test", "all"])
    .default("train")
    .meta({ description: "official split; there is no validation split, and both share their images" }),
  layout: z
    .enum(["auto", "official", "mevf"])
    .default("auto")
    .meta({
      description:
        "official: one table, 1,797 and 451 questions; mevf: trainset.json and testset.json as med-VQA papers use them, " +
        "3,064 and 451; auto takes the official table where there is one",
    }),
});

type Params = z.output<typeof params>;

/** Where images lie: in the official release, and where users of the other layout keep them. */
const imageFolders = ["VQA_RAD Image Folder", "images"];
const mevfTables = { train: "trainset.json", test: "testset.json" } as const;

const vqaRad: Dataset<Params, QuestionRow> = {
  name: "vqa-rad",
  layout: [
    "VQA_RAD Dataset Public.json or trainset.json and testset.json",
    "VQA_RAD Image Folder/synpic100132.jpg",
  ],
  nested: ["VQA_RAD", "vqa_rad", "VQA-RAD", "data_RAD"],
  isHere: async (folder, params) => (await tablesOf(folder, params)).length > 0,

  async read(folder, params) {
    const tables = await tablesOf(folder, params);
    const entries = (await Promise.all(tables.map((table) => readJsonList(folder.file(table))))).flat();
    const wanted = entries.filter((entry) => params.split === "all" || splitOf(entry) === params.split);
    return { tables, rows: withOwnIds(wanted.map(rowOf)) };
  },

  async locator(folder) {
    const listings = await Promise.all(imageFolders.map((place) => folder.list(place)));
    return ({ image }) => {
      const found = imageFolders.find((_, index) => listings[index]?.has(image));
      return found === undefined ? undefined : `${found}/${image}`;
    };
  },
};

async function tablesOf(folder: DatasetFolder, { layout, split }: Params): Promise<readonly string[]> {
  const names = await folder.list("");
  const official = [...(names ?? [])].filter((name) => /^VQA_RAD Dataset.*\.json$/.test(name)).toSorted();
  if (layout !== "mevf" && official.length > 0) return official.slice(0, 1);
  if (layout === "official") return [];
  const wanted = split === "all" ? Object.values(mevfTables) : [mevfTables[split]];
  return wanted.every((name) => names?.has(name)) ? wanted : [];
}

/** The split is told by `phrase_type` alone: `test_freeform` and `test_para` are the test split. */
function splitOf(entry: ListedObject): "train" | "test" {
  return textField(entry, "phrase_type").startsWith("test") ? "test" : "train";
}

function rowOf(entry: ListedObject): QuestionRow {
  const image = imagePlace(entry, "image_name");
  if (image.includes("/")) {
    throw new NodeError(`${entry.at} names the image ${JSON.stringify(image)}: it must be a file name`);
  }
  return {
    id: textField(entry, "qid"),
    image,
    question: textField(entry, "question"),
    answer: textField(entry, "answer"),
    answerType: answerTypeOf(entry),
    lang: "en",
  };
}

/** Rephrased questions may repeat the id of the question they come from: a record needs one of its own. */
function withOwnIds(rows: readonly QuestionRow[]): readonly QuestionRow[] {
  const seen = new Map<string, number>();
  return rows.map((row) => {
    const count = (seen.get(row.id) ?? 0) + 1;
    seen.set(row.id, count);
    return count === 1 ? row : { ...row, id: `${row.id}#${count}` };
  });
}

/** Loads VQA-RAD (Lau et al., Scientific Data 2018). */
export const dataVqaRad = defineNode({
  type: "data.vqa-rad",
  version: 2,
  summary: "Reads VQA-RAD, questions of clinicians on radiology images with their answers",
  details:
    "Layout: `VQA_RAD Dataset Public.json` and `VQA_RAD Image Folder/`, as the official release has them, or " +
    "`trainset.json`, `testset.json` and `images/`. The official table tells the test split by `phrase_type`. Numbers " +
    "among the answers are read as text; answers are kept as they are written, `Yes` beside `yes`.",
  inputs: loaderInputs,
  outputs: { questions: port("questions") },
  params,
  growth: growthOfLoader({ train: 3_064, test: 451, all: 3_515 }, 280),
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(vqaRad, params, log),
  async run(context) {
    const { split } = context.params;
    const records = questionRecords(await loadDataset(vqaRad, context));
    await writeQuestions(context.outputs.questions.path, { dataset: "vqa-rad", split }, records);
    context.log(`${questionCount(records)} of VQA-RAD ${split}`);
  },
});
