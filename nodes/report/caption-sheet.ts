import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { markChanges, type MarkedWord } from "../captions/word-changes.ts";
import { readTable, type TableRow } from "../records.ts";
import type { CaptionSheetParams } from "../report-caption-sheet.ts";
import { noRows, percent, type CaptionRow, type CaptionSheet } from "./caption-rows.ts";
import { drawCaptionSheet } from "./caption-sheet-svg.ts";
import { chosenRows } from "./chosen-rows.ts";
import { escapeMarkdown } from "./markdown.ts";
import { writeFigureFiles } from "./write-figure.ts";

type Context = RunContext<CaptionSheetParams, { readonly report: Port }, { readonly report: Port }>;

/** The work of `report.caption-sheet`. */
export async function writeCaptionSheet(context: Context): Promise<void> {
  const { params, inputs, log, outputs } = context;
  const { count, ids, prompt, title } = params;
  const all = (await readTable(inputs.report.path)).map(sheetRow);
  const shown = ids.length > 0 ? all : all.filter(({ wmr }) => wmr > 0);
  // A model that was not there to answer costs the sheet, not the run.
  const chosen =
    shown.length === 0 && ids.length === 0 ? [] : chosenRows(shown, { ids, count }, "rewritten captions");
  if (chosen.length === 0) log("no caption was rewritten: the sheet is empty", "warning");
  const rows = chosen.map(({ caption, rewrite, ...row }): CaptionRow => ({
    ...row,
    ...markChanges(caption, rewrite),
  }));
  const sheet: CaptionSheet = { title, prompt, rows };
  const svg = drawCaptionSheet(sheet);
  await writeFile(join(outputs.report.path, "sheet.md"), markdownSheet(sheet));
  await writeFigureFiles(context, sheet, svg);
}

function sheetRow({ id, caption, rewrite, by, wmr }: TableRow) {
  if (
    typeof id === "string" &&
    typeof caption === "string" &&
    typeof rewrite === "string" &&
    typeof by === "string" &&
    typeof wmr === "number"
  )
    return { id, caption, rewrite, by, wmr };
  throw new NodeError("a row of `report` does not say id, caption, rewrite, by and wmr", {
    hint: "Bind the output `report` of attack.caption-llm.",
  });
}

/** The sheet as Markdown. Whatever captions and prompt hold is text in it, and no markup. */
export function markdownSheet({ title, prompt, rows }: CaptionSheet): string {
  return [
    ...(title === "" ? [] : [`**${escapeMarkdown(title)}**`, ""]),
    ...(prompt === "" ? [] : [fenced(prompt), ""]),
    ...(rows.length === 0 ? [noRows, ""] : []),
    ...rows.flatMap(({ id, by, wmr, before, after }) => [
      `${escapeMarkdown(id)} (${percent(wmr)} of the words, ${escapeMarkdown(by)})`,
      "",
      `- before: ${marked(before, "~~")}`,
      `- after: ${marked(after, "**")}`,
      "",
    ]),
  ].join("\n");
}

/** Words with a mark around each run of changed ones. */
function marked(words: readonly MarkedWord[], mark: string): string {
  return words
    .map(({ text, changed }, index) => {
      const before = changed && words[index - 1]?.changed !== true ? mark : "";
      const after = changed && words[index + 1]?.changed !== true ? mark : "";
      return `${before}${escapeMarkdown(text)}${after}`;
    })
    .join(" ");
}

/** Text as a block of code, whose fence is longer than any row of backticks in it. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}text\n${text}\n${fence}`;
}
