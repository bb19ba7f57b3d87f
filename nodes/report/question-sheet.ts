import type { BlobRef, Port, RunContext } from "../../engine/sdk.ts";
import { decodeImage, toRgb } from "../data/images.ts";
import { distinct } from "../distinct.ts";
import type { ImageQuestion } from "../formats.ts";
import { readQuestions } from "../records.ts";
import type { QuestionSheetParams } from "../report-question-sheet.ts";
import { chosenRows } from "./chosen-rows.ts";
import { inLines, markup, plain } from "./marked-lines.ts";
import { pngUri } from "./png-uri.ts";
import { evenWidth, ink, svgDocument, textLine } from "./svg.ts";
import { writeFigureFiles } from "./write-figure.ts";

type Context = RunContext<QuestionSheetParams, { readonly questions: Port }, { readonly report: Port }>;

/** An image with questions about it. */
interface SheetRow {
  readonly image: BlobRef;
  readonly asked: readonly ImageQuestion[];
}

/** The work of `report.question-sheet`. */
export async function writeQuestionSheet(context: Context): Promise<void> {
  const { inputs, params, signal } = context;
  const { header, records } = await readQuestions(inputs.questions.path);
  const rows = sheetRows(records, params);
  const { cell, title } = params;
  const drawn: string[] = [];
  let y = margin;
  if (title !== "") {
    drawn.push(textLine(margin, y + 14, title, { size: 16, bold: true }));
    y += 32;
  }
  for (const row of rows) {
    signal.throwIfAborted();
    const { elements, height } = await drawRow(context, row, y);
    drawn.push(...elements);
    y += height + margin;
  }
  const svg = svgDocument(2 * margin + cell + gap + textWidth, y, drawn);
  await writeFigureFiles(context, { title, ...header, rows: rows.map(texts) }, svg);
}

const margin = 20;
const gap = 24;
const size = 13;
const lineHeight = 18;
const textWidth = 480;
const characters = Math.floor(textWidth / (evenWidth * size));

/** The images to show, each with its questions in the dataset's order. */
function sheetRows(
  records: readonly ImageQuestion[],
  { count, ids, questions }: QuestionSheetParams,
): readonly SheetRow[] {
  const about = new Map<string, ImageQuestion[]>();
  for (const record of records)
    about.set(record.image.digest, [...(about.get(record.image.digest) ?? []), record]);
  const all = distinct(records, ({ image }) => image.digest).items;
  const chosen = chosenRows(ids.length > 0 ? records : all, { ids, count }, "questions");
  return distinct(chosen, ({ image }) => image.digest).items.map(({ image }) => ({
    image,
    asked: about.get(image.digest)!.slice(0, questions),
  }));
}

function texts({ image, asked }: SheetRow): object {
  return {
    image: image.digest,
    questions: asked.map(({ id, question, answer, answerType }) => ({ id, question, answer, answerType })),
  };
}

async function drawRow(
  { blobs, params: { cell } }: Context,
  { image, asked }: SheetRow,
  top: number,
): Promise<{ readonly elements: readonly string[]; readonly height: number }> {
  const [file] = await blobs.locate([image]);
  const picture = await decodeImage(file!.path, asked[0]!.id);
  const { height, width } = picture;
  const shown = Math.round((cell * height) / width);
  const uri = await pngUri(toRgb(picture), picture);
  const elements = [`<image x="${margin}" y="${top}" width="${cell}" height="${shown}" href="${uri}"/>`];
  const x = margin + cell + gap;
  let y = top + 12;
  for (const { answer, answerType, question } of asked) {
    for (const words of inLines(plain(question), characters)) {
      elements.push(textLine(x, y, { markup: markup(words, "") }, { size, even: true }));
      y += lineHeight;
    }
    for (const [index, words] of inLines(plain(answer), characters - indent).entries()) {
      const remark = index === 0 && answerType === "closed" ? closedMark : "";
      const bold = `<tspan font-weight="bold">${markup(words, "")}</tspan> ${remark}`;
      elements.push(textLine(x + indent * evenWidth * size, y, { markup: bold }, { size, even: true }));
      y += lineHeight;
    }
    y += 6;
  }
  return { elements, height: Math.max(shown, y - top - lineHeight) };
}

/** Characters by which answers stand to the right of questions. */
const indent = 2;
const closedMark = `<tspan fill="${ink.faint}">(closed)</tspan>`;
