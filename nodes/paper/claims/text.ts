import type { ClaimResult } from "./claim.ts";

/** A claim on our numbers beside the same claim on the printed ones. */
export interface ClaimPair {
  readonly ours: ClaimResult;
  readonly print: ClaimResult;
}

/** The claims as Markdown: a table of verdicts, then every comparison with its numbers. */
export function claimsMarkdown(pairs: readonly ClaimPair[], title: string): string {
  return [
    ...(title === "" ? [] : [`**${title}**`, ""]),
    "| claim | ours | comparisons | in print | comparisons |",
    "| ----- | ---- | ----------: | -------- | ----------: |",
    ...pairs.map(
      ({ ours, print }) =>
        `| ${ours.statement} | **${verdictText(ours)}** | ${countText(ours)} | ${verdictText(print)} | ${countText(print)} |`,
    ),
    "",
    "Comparisons: those that hold, of those measured, of those that the claim makes on the paper's grid.",
    "",
    ...pairs.flatMap(({ ours }) => figures(ours)),
  ].join("\n");
}

function figures(result: ClaimResult): readonly string[] {
  const measured = result.comparisons.filter(({ holds }) => holds !== null);
  if (measured.length === 0) return [];
  return [
    `**${result.statement}: ${verdictText(result)}**`,
    "",
    "| comparison | greater | lesser | difference | holds |",
    "| ---------- | ------: | -----: | ---------: | ----- |",
    ...measured.map(({ greater, holds, lesser, what }) => {
      const [left, right] = [greater ?? 0, lesser ?? 0];
      const number = (value: number): string => numberText(value, result.unit);
      return `| ${escapeMarkdown(what)} | ${number(left)} | ${number(right)} | ${number(left - right)} | ${holds ? "yes" : "**no**"} |`;
    }),
    "",
  ];
}

/** The claims as a LaTeX `table` with `booktabs` rules. */
export function claimsLatex(pairs: readonly ClaimPair[], title: string): string {
  return [
    "% needs \\usepackage{booktabs}",
    "\\begin{table}",
    "\\centering",
    ...(title === "" ? [] : [`\\caption{${escapeLatex(title)}}`]),
    "\\begin{tabular}{p{0.55\\linewidth}ll}",
    "\\toprule",
    "claim & ours & in print \\\\",
    "\\midrule",
    ...pairs.map(
      ({ ours, print }) =>
        `${escapeLatex(ours.statement)} & ${verdictText(ours)} (${escapeLatex(countText(ours))}) & ${verdictText(print)} \\\\`,
    ),
    "\\bottomrule",
    "\\end{tabular}",
    "\\end{table}",
    "",
  ].join("\n");
}

/** `holds`, with how far it was measured where that is a part only. */
function verdictText({ partial, verdict }: ClaimResult): string {
  return verdict === "holds" && partial ? "holds where measured" : verdict;
}

function countText({ holding, measured, of }: ClaimResult): string {
  return `${holding} / ${measured} / ${of}`;
}

/** Percent to two decimals, as means of printed numbers need; cosines to three. */
function numberText(value: number, unit: ClaimResult["unit"]): string {
  return unit === "percent" ? (100 * value).toFixed(2) : value.toFixed(3);
}

function escapeMarkdown(text: string): string {
  return text.replace(/[\\|*`<]/g, "\\$&").replace(/\s+/g, " ");
}

function escapeLatex(text: string): string {
  return text.replace(/[%&#_$]/g, "\\$&");
}
