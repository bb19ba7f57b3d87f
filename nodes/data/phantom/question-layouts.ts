/** The official layouts of two question-answer datasets, filled with the synthetic world's pictures. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomStream } from "../../random.ts";
import { partition } from "../sample.ts";
import type { PictureWriter } from "./encode.ts";
import { radQuestions, slakeQuestions } from "./questions.ts";
import { askedPicture, chestStudy } from "./studies.ts";
import type { World } from "./studies.ts";

const slakeTables = ["train.json", "validate.json", "test.json"];
const slakeShares = [0.7, 0.15, 0.15];

/** SLAKE: `train.json`, `validate.json` and `test.json`, each by image and language, `imgs/xmlab0/source.jpg`. */
export async function writeSlake(
  folder: string,
  world: World,
  images: number,
  pictures: PictureWriter,
): Promise<void> {
  const english = partition(images, slakeShares, world.seed);
  // As in the real dataset, the other language deals its images out anew.
  const chinese = partition(images, slakeShares, world.seed + 1);
  const tables: object[][] = slakeTables.map(() => []);
  let qid = 0;
  for (let image = 0; image < images; image++) {
    const { picture, subject } = askedPicture(world, String(image));
    const random = randomStream(world.seed, "slake/questions", String(image));
    const add = (part: number, lang: string, { about, answer, closed, question }: Asked): void => {
      tables[part]!.push({
        img_id: image,
        img_name: `xmlab${image}/source.jpg`,
        question,
        answer,
        q_lang: lang,
        location: subject.part,
        modality: subject.modality,
        answer_type: closed ? "CLOSED" : "OPEN",
        base_type: "vqa",
        content_type: about,
        triple: ["vhead", "_", "_"],
        qid: qid++,
      });
    };
    for (const asked of slakeQuestions(subject, random)) add(english[image]!, "en", asked);
    const modality = subject.modality === "CT" ? "CT" : "X光";
    add(chinese[image]!, "zh", {
      question: "这张图片是用什么方式拍摄的？",
      answer: modality,
      closed: false,
      about: "Modality",
    });
    await pictures.write(`imgs/xmlab${image}/source.jpg`, picture, "RGB");
  }
  await Promise.all(tables.map((table, part) => writeFile(join(folder, slakeTables[part]!), listed(table))));
}

type Asked = ReturnType<typeof slakeQuestions>[number];

/** Share of VQA-RAD's questions in its test split. */
const radTestShare = 0.2;

/** VQA-RAD: one table that tells the test split by `phrase_type`, and `VQA_RAD Image Folder/synpic100.jpg`. */
export async function writeVqaRad(
  folder: string,
  world: World,
  images: number,
  pictures: PictureWriter,
): Promise<void> {
  const table: object[] = [];
  for (let number = 0; number < images; number++) {
    const image = `synpic${100 + number}.jpg`;
    const { findings, picture } = chestStudy(world, "ood", `rad/${number}`, 0);
    const random = randomStream(world.seed, "vqa-rad/questions", String(number));
    for (const { answer, closed, question } of radQuestions(findings, random)) {
      const qid = table.length;
      table.push({
        // The first id of the real table is text; numbers among its answers are numbers.
        qid: qid === 0 ? "0" : qid,
        phrase_type: `${random.next() < radTestShare ? "test_" : ""}freeform`,
        image_name: image,
        image_organ: "CHEST",
        question,
        question_type: "PRES",
        answer: /^\d+$/.test(answer) ? Number(answer) : answer,
        answer_type: closed ? (qid % 50 === 7 ? "CLOSED " : "CLOSED") : "OPEN",
      });
    }
    await pictures.write(`VQA_RAD Image Folder/${image}`, picture, "RGB");
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "VQA_RAD Dataset Public.json"), listed(table));
}

const listed = (records: readonly object[]): string =>
  `[\n${records.map((record) => JSON.stringify(record)).join(",\n")}\n]\n`;
