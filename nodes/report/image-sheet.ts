import { NodeError, type BlobRef, type Port, type RunContext } from "../../engine/sdk.ts";
import { decodeImage, fitForModel, toRgb } from "../data/images.ts";
import type { ImageText } from "../formats.ts";
import { readPairs, readTable, type TableRow } from "../records.ts";
import type { ImageSheetParams } from "../report-image-sheet.ts";
import { chosenRows } from "./chosen-rows.ts";
import { pngUri } from "./png-uri.ts";
import { evenWidth, ink, shortened, svgDocument, textLine } from "./svg.ts";
import { writeFigureFiles } from "./write-figure.ts";

type Context = RunContext<
  ImageSheetParams,
  { readonly clean: Port; readonly attacked: Port; readonly targets: Port; readonly report: Port },
  { readonly report: Port }
>;

/** What the sheet shows of one attacked image. */
interface SheetRow {
  readonly id: string;
  readonly target: string;
  readonly cosBefore: number;
  readonly cosAfter: number;
  /** Norms of the difference, in [0, 1] units of pixels. */
  readonly linf: number;
  readonly l2: number;
}

/** The four images of a row, [S, S, 3]. */
interface RowImages {
  readonly size: number;
  readonly clean: Uint8Array;
  readonly target: Uint8Array;
  readonly difference: Uint8Array;
  readonly adversarial: Uint8Array;
}

/** The work of `report.image-sheet`. */
export async function writeImageSheet(context: Context): Promise<void> {
  const { params, inputs, signal } = context;
  const rows = chosenRows((await readTable(inputs.report.path)).map(sheetRow), params, "attacked images");
  const sources = {
    clean: byId(await readPairs(inputs.clean.path)),
    attacked: byId(await readPairs(inputs.attacked.path)),
    targets: byId(await readPairs(inputs.targets.path)),
  };
  const drawn: string[] = [];
  const { cell, title } = params;
  const top = margin + (title === "" ? 0 : 28);
  const rowHeight = cell + captionHeight;
  for (const [index, row] of rows.entries()) {
    signal.throwIfAborted();
    const images = await rowImages(context, row, sources);
    drawn.push(...(await drawRow(row, images, params, top + headingHeight + index * rowHeight)));
  }
  const width = 2 * margin + 4 * cell + 3 * gap;
  const height = top + headingHeight + rows.length * rowHeight + margin - gap;
  const headings = ["clean", "target", `difference × ${params.amplify}`, "adversarial"];
  const svg = svgDocument(width, height, [
    ...(title === "" ? [] : [textLine(margin, margin + 14, title, { size: 16, bold: true })]),
    ...headings.map((text, column) =>
      textLine(left(column, cell) + cell / 2, top + 14, text, { size: 13, bold: true, anchor: "middle" }),
    ),
    ...drawn,
  ]);
  await writeFigureFiles(context, { title, amplify: params.amplify, rows }, svg);
}

const margin = 20;
const gap = 12;
const headingHeight = 24;
const captionHeight = 48;
const captionSize = 11;

const left = (column: number, cell: number): number => margin + column * (cell + gap);

function sheetRow(row: TableRow): SheetRow {
  const number = (name: string): number => {
    const value = row[name];
    if (typeof value === "number") return value;
    throw notAReport(name);
  };
  const { id, target } = row;
  if (typeof id !== "string") throw notAReport("id");
  if (typeof target !== "string") throw notAReport("target");
  const [cosBefore, cosAfter, linf, l2] = ["cosBefore", "cosAfter", "linf", "l2"].map(number) as [
    number,
    number,
    number,
    number,
  ];
  return { id, target, cosBefore, cosAfter, linf, l2 };
}

function notAReport(column: string): NodeError {
  return new NodeError(`the rows of \`report\` have no column ${column} of the right kind`, {
    hint: "Bind the output `report` of attack.image-pgd.",
  });
}

type Records = ReadonlyMap<string, ImageText>;

const byId = (pairs: readonly ImageText[]): Records => new Map(pairs.map((pair) => [pair.id, pair]));

async function rowImages(
  { blobs, params }: Context,
  { id, target }: SheetRow,
  sources: Readonly<Record<"clean" | "attacked" | "targets", Records>>,
): Promise<RowImages> {
  const imageOf = (input: keyof typeof sources, name: string): BlobRef => {
    const record = sources[input].get(name);
    if (record) return record.image;
    throw new NodeError(`\`${input}\` has no record ${JSON.stringify(name)}, which \`report\` names`, {
      hint: "Bind the inputs and outputs of one and the same attack.",
    });
  };
  const files = await blobs.locate([
    imageOf("clean", id),
    imageOf("attacked", id),
    imageOf("targets", target),
  ]);
  const [cleanFile, attackedFile, targetFile] = files.map(({ path }) => path) as [string, string, string];
  const attacked = await decodeImage(attackedFile, id);
  const size = attacked.width;
  if (attacked.height !== size)
    throw new NodeError(`the attacked image ${id} is ${size} x ${attacked.height} pixels, not square`);
  const clean = fitForModel(await decodeImage(cleanFile, id), size);
  const adversarial = toRgb(attacked);
  const difference = Uint8Array.from(
    Uint8ClampedArray.from(adversarial, (value, at) => 128 + params.amplify * (value - clean[at]!)),
  );
  return {
    size,
    clean,
    target: fitForModel(await decodeImage(targetFile, target), size),
    difference,
    adversarial,
  };
}

async function drawRow(
  row: SheetRow,
  { size, clean, target, difference, adversarial }: RowImages,
  { cell }: ImageSheetParams,
  top: number,
): Promise<string[]> {
  const images = await Promise.all(
    [clean, target, difference, adversarial].map(async (rgb, column) => {
      // Few pixels are shown as what they are: blurred, a difference of single pixels is lost.
      const crisp = size < cell ? ' style="image-rendering:pixelated"' : "";
      return `<image x="${left(column, cell)}" y="${top}" width="${cell}" height="${cell}"${crisp} href="${await pngUri(rgb, { width: size, height: size })}"/>`;
    }),
  );
  const characters = Math.floor(cell / (evenWidth * captionSize));
  const cosine = (value: number): string => `cos to target ${value.toFixed(3)}`;
  const captions = [
    [row.id, cosine(row.cosBefore)],
    [row.target, ""],
    [`L∞ ${(255 * row.linf).toFixed(1)}/255`, `L2 ${row.l2.toFixed(2)}`],
    ["", cosine(row.cosAfter)],
  ];
  const lines = captions.flatMap((texts, column) =>
    texts.map((text, line) =>
      textLine(left(column, cell), top + cell + 15 + 14 * line, shortened(text, characters), {
        size: captionSize,
        even: true,
        fill: line === 0 && column < 2 ? ink.faint : ink.text,
      }),
    ),
  );
  return [...images, ...lines];
}
