import type { Port, RunContext } from "../../engine/sdk.ts";
import { decodeImage, resizeBicubic, toRgb } from "../data/images.ts";
import { noFinding } from "../data/label-names.ts";
import type { ImageLabels } from "../formats.ts";
import { readImages } from "../records.ts";
import type { LabelSheetParams } from "../report-label-sheet.ts";
import { chosenRows } from "./chosen-rows.ts";
import { pngUri } from "./png-uri.ts";
import { evenWidth, ink, shortened, svgDocument, textLine } from "./svg.ts";
import { writeFigureFiles } from "./write-figure.ts";

type Context = RunContext<LabelSheetParams, { readonly images: Port }, { readonly report: Port }>;

/** The work of `report.label-sheet`. */
export async function writeLabelSheet(context: Context): Promise<void> {
  const { params, inputs, signal } = context;
  const { cell, ids, title } = params;
  const { header, records } = await readImages(inputs.images.path);
  const hasFinding = ({ y }: ImageLabels): boolean =>
    header.labels.some((label, at) => label !== noFinding && y[at] === 1);
  const shown = chosenRows(ids.length > 0 ? records : records.filter(hasFinding), params, "labelled images");

  const rowHeight = Math.max(cell + captionHeight, header.labels.length * lineHeight) + gap;
  const top = margin + (title === "" ? 0 : titleHeight);
  const drawn: string[] = [];
  for (const [index, record] of shown.entries()) {
    signal.throwIfAborted();
    const y = top + index * rowHeight;
    drawn.push(await drawImage(context, record, y), ...drawLabels(record, header.labels, cell, y));
  }
  const longest = Math.max(...header.labels.map((label) => label.length));
  const width = labelsLeft(cell) + markWidth + Math.ceil(longest * labelSize * boldWidth) + margin;
  const svg = svgDocument(width, top + shown.length * rowHeight - gap + margin, [
    ...(title === "" ? [] : [textLine(margin, margin + 14, title, { size: 16, bold: true })]),
    ...drawn,
  ]);

  const { dataset, split } = header;
  const rows = shown.map(({ id, y }) => ({
    id,
    labels: Object.fromEntries(header.labels.map((label, at) => [label, y[at]])),
  }));
  await writeFigureFiles(context, { title, dataset, split, rows }, svg);
}

const margin = 20;
const gap = 24;
const titleHeight = 28;
const captionHeight = 20;
const lineHeight = 20;
const labelSize = 13;
const markWidth = 20;
/** Of a bold character in the size of the font, at most. */
const boldWidth = 0.65;

const labelsLeft = (cell: number): number => margin + cell + gap;

/** The whole image, as large as its place lets it be, with its id below. */
async function drawImage(
  { blobs, params: { cell } }: Context,
  { id, image }: ImageLabels,
  y: number,
): Promise<string> {
  const [file] = await blobs.locate([image]);
  const decoded = await decodeImage(file!.path, id);
  const scale = cell / Math.max(decoded.width, decoded.height);
  const [width, height] = [decoded.width, decoded.height].map((side) =>
    Math.max(1, Math.round(side * scale)),
  ) as [number, number];
  // Twice the pixels, as the PNG has; small images stay as they are.
  const sharper = scale < 0.5 ? resizeBicubic(decoded, 2 * width, 2 * height) : decoded;
  const href = await pngUri(toRgb(sharper), sharper);
  const caption = shortened(id, Math.floor(cell / (evenWidth * 11)));
  return [
    `<image x="${margin}" y="${y}" width="${width}" height="${height}" href="${href}"/>`,
    textLine(margin, y + height + 15, caption, { size: 11, even: true, fill: ink.faint }),
  ].join("\n");
}

/** A line for each label; what is there stands out without colour. */
function drawLabels(
  { y: answers }: ImageLabels,
  labels: readonly string[],
  cell: number,
  top: number,
): string[] {
  const x = labelsLeft(cell);
  return labels.flatMap((label, at) => {
    const y = top + lineHeight * at + 14;
    const answer = answers[at];
    const circle = `<circle cx="${x + 6}" cy="${y - 4.5}" r="4.5" stroke="${ink.text}" fill="${answer === 1 ? ink.text : "none"}"${answer === 1 ? "" : ` stroke-opacity="0.4"`}/>`;
    const mark = answer === null ? textLine(x + 3, y, "?", { size: labelSize, fill: ink.faint }) : circle;
    const style = answer === 1 ? { bold: true } : { fill: ink.faint };
    return [mark, textLine(x + markWidth, y, label.replaceAll("_", " "), { size: labelSize, ...style })];
  });
}
