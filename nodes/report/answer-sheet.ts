import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { markChanges, type MarkedWord } from "../captions/word-changes.ts";
import { decodeImage, toRgb } from "../data/images.ts";
import type { ImageText } from "../formats.ts";
import { readPairs, readTable, type TableRow } from "../records.ts";
import type { AnswerSheetParams } from "../report-answer-sheet.ts";
import { chosenRows } from "./chosen-rows.ts";
import { emphasised, inLines, markup, plain, struckOut } from "./marked-lines.ts";
import { pngUri } from "./png-uri.ts";
import { evenWidth, ink, shortened, svgDocument, textLine } from "./svg.ts";
import { writeFigureFiles } from "./write-figure.ts";

type Context = RunContext<
  AnswerSheetParams,
  { readonly clean: Port; readonly adversarial: Port; readonly targets: Port; readonly report: Port },
  { readonly report: Port }
>;

/** An image whose clean and adversarial version were both answered. */
interface SheetRow {
  readonly id: string;
  readonly clean: ImageText;
  readonly adversarial: ImageText;
  readonly target: ImageText;
}

/** The work of `report.answer-sheet`. */
export async function writeAnswerSheet(context: Context): Promise<void> {
  const { params, signal, log } = context;
  const answered = await answeredRows(context);
  // A model that was not there to answer costs the sheet, not the run.
  const rows = answered.length === 0 ? [] : chosenRows(answered, params, "images with both answers");
  if (rows.length === 0) log("no image has both answers: the sheet is empty", "warning");
  const { cell, prompt, title } = params;
  const drawn: string[] = [];
  let y = margin;
  if (title !== "") {
    drawn.push(textLine(margin, y + 14, title, { size: 16, bold: true }));
    y += 28;
  }
  if (prompt !== "") {
    const asked = inLines(
      plain(`Asked: ${prompt}`),
      Math.floor((widthOf(cell) - 2 * margin) / (evenWidth * size)),
    );
    drawn.push(...textLines(asked, margin, y + 14, ""));
    y += lineHeight * asked.length + 8;
  }
  for (const [column, text] of ["clean", "adversarial"].entries()) {
    const x = margin + column * (cell + gap) + cell / 2;
    drawn.push(textLine(x, y + 14, text, { size: 13, bold: true, anchor: "middle" }));
  }
  y += 24;
  if (rows.length === 0) {
    const x = margin + 2 * (cell + gap);
    drawn.push(textLine(x, y + 11, "No image has both answers.", { size, fill: ink.faint }));
    y += lineHeight;
  }
  for (const row of rows) {
    signal.throwIfAborted();
    const { elements, height } = await drawRow(context, row, y);
    drawn.push(...elements);
    y += height + gap;
  }
  const svg = svgDocument(widthOf(cell), y + margin, drawn);
  await writeFigureFiles(context, { title, prompt, rows: rows.map(texts) }, svg);
}

const margin = 20;
const gap = 12;
const size = 13;
const lineHeight = 18;
const textWidth = 480;

const widthOf = (cell: number): number => 2 * margin + 2 * (cell + gap) + textWidth;

async function answeredRows({ inputs }: Context): Promise<readonly SheetRow[]> {
  const records = async (path: string): Promise<ReadonlyMap<string, ImageText>> =>
    new Map((await readPairs(path)).map((pair) => [pair.id, pair]));
  const [clean, targets] = [await records(inputs.clean.path), await records(inputs.targets.path)];
  const targetOf = new Map((await readTable(inputs.report.path)).map(targetRow));
  return (await readPairs(inputs.adversarial.path)).flatMap((adversarial): SheetRow[] => {
    const { id } = adversarial;
    const before = clean.get(id);
    if (!before) return [];
    const name = targetOf.get(id);
    const target = name === undefined ? undefined : targets.get(name);
    if (target) return [{ id, clean: before, adversarial, target }];
    throw new NodeError(
      name === undefined
        ? `\`report\` does not say the target of ${JSON.stringify(id)}`
        : `\`targets\` has no record ${JSON.stringify(name)}, which \`report\` names`,
      { hint: "Bind the answers about the images of one attack, its report, and its targets." },
    );
  });
}

function targetRow({ id, target }: TableRow): [string, string] {
  if (typeof id === "string" && typeof target === "string") return [id, target];
  throw new NodeError("a row of `report` does not say id and target", {
    hint: "Bind the output `report` of attack.image-pgd.",
  });
}

function texts({ id, clean, adversarial, target }: SheetRow): object {
  return {
    id,
    clean: clean.caption,
    adversarial: adversarial.caption,
    target: { id: target.id, caption: target.caption },
  };
}

async function drawRow(
  { blobs, params: { cell } }: Context,
  { id, clean, adversarial, target }: SheetRow,
  top: number,
): Promise<{ readonly elements: readonly string[]; readonly height: number }> {
  const elements: string[] = [];
  const files = await blobs.locate([clean.image, adversarial.image]);
  for (const [column, { path }] of files.entries()) {
    const picture = await decodeImage(path, id);
    // Few pixels are shown as what they are: what an attack adds is a matter of single pixels.
    const crisp = Math.max(picture.width, picture.height) < cell ? ' style="image-rendering:pixelated"' : "";
    const x = margin + column * (cell + gap);
    elements.push(
      `<image x="${x}" y="${top}" width="${cell}" height="${cell}"${crisp} href="${await pngUri(toRgb(picture), picture)}"/>`,
    );
  }
  const x = margin + 2 * (cell + gap);
  const changes = markChanges(clean.caption, adversarial.caption);
  const told: readonly (readonly [string, readonly MarkedWord[], string])[] = [
    ["about the clean image", changes.before, struckOut],
    ["about the adversarial image", changes.after, emphasised],
    ["caption of the target", plain(target.caption), ""],
  ];
  let y = top;
  elements.push(textLine(x, y + 11, shortened(id, characters), { size: 11, fill: ink.faint, even: true }));
  y += 24;
  for (const [heading, words, mark] of told) {
    const lines = inLines(words, characters);
    elements.push(
      textLine(x, y + 12, heading, { size: 12, bold: true }),
      ...textLines(lines, x, y + 12 + lineHeight, mark),
    );
    y += lineHeight * (lines.length + 1) + 6;
  }
  return { elements, height: Math.max(cell, y - top) };
}

const characters = Math.floor(textWidth / (evenWidth * size));

function textLines(lines: readonly (readonly MarkedWord[])[], x: number, y: number, mark: string): string[] {
  return lines.map((words, index) =>
    textLine(x, y + lineHeight * index, { markup: markup(words, mark) }, { size, even: true }),
  );
}
