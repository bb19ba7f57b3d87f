/** What the loaders of question-answer datasets share. */
import { NodeError } from "../../engine/sdk.ts";
import type { ImageQuestion } from "../formats.ts";
import type { LoadedRow, DatasetRow } from "./loader.ts";
import { textField } from "./json-list.ts";
import type { ListedObject } from "./json-list.ts";

/** A question as a dataset's own table gives it. */
export interface QuestionRow extends DatasetRow {
  readonly question: string;
  readonly answer: string;
  readonly answerType: ImageQuestion["answerType"];
  readonly lang: string;
}

/** `CLOSED` and `OPEN` as both datasets write them, at times with spaces after them. */
export function answerTypeOf(entry: ListedObject): ImageQuestion["answerType"] {
  const text = textField(entry, "answer_type");
  const type = text.toLowerCase();
  if (type === "closed" || type === "open") return type;
  throw new NodeError(`${entry.at} has the answer type ${JSON.stringify(text)}`, {
    hint: "An answer type is OPEN or CLOSED.",
  });
}

/** An image's place as a table names it: below the dataset's folder, whatever the table says. */
export function imagePlace(entry: ListedObject, field: string): string {
  const name = textField(entry, field);
  if (name !== "" && !name.startsWith("/") && !name.split("/").includes("..")) return name;
  throw new NodeError(
    `${entry.at} names the image ${JSON.stringify(name)}, which is not in the dataset's folder`,
  );
}

/** The records of loaded questions, in dataset order. */
export function questionRecords(loaded: readonly LoadedRow<QuestionRow>[]): readonly ImageQuestion[] {
  return loaded.map(({ row: { id, question, answer, answerType, lang }, image }) => ({
    id,
    image,
    question,
    answer,
    answerType,
    lang,
  }));
}

/** How many questions on how many images, in words. */
export function questionCount(records: readonly ImageQuestion[]): string {
  const images = new Set(records.map(({ image }) => image.digest)).size;
  const closed = records.filter(({ answerType }) => answerType === "closed").length;
  return `${records.length} questions (${closed} closed) on ${images} images`;
}
