import type { Machine } from "../machine.ts";
import { limits } from "./limits.ts";
import type { Figures, SizeResult } from "./run-size.ts";
import { measurements, type Absent, type Measurement } from "./tool.ts";

/** All that a run of the benchmark found. */
export interface Results {
  readonly machine: Machine;
  /** When it ended, ISO 8601. */
  readonly at: string;
  /** Name of each tool, and its version. */
  readonly versions: Readonly<Record<string, string>>;
  readonly absent: readonly Absent[];
  /** Tools, and the most steps that they were measured with. */
  readonly largest: Readonly<Record<string, number>>;
  readonly sizes: readonly SizeResult[];
}

const names: Readonly<Record<Measurement, string>> = {
  plan: "plan",
  first: "first run",
  noop: "no-op",
  change: "change one",
};

/** The results as Markdown. */
export function formatResults(results: Results): string {
  const { machine, versions, absent, sizes } = results;
  const lines = [
    "# Engine benchmark",
    "",
    "A grid 1 → G → 3G → 6G → 1 of steps that write 20 bytes each, run by ranflow and by what people use instead: the same",
    "graph, in turn, in one run of `npm run bench:engine`. Medians; without a terminal; ranflow by its bin. _First run_ runs all",
    "steps, _no-op_ none, _change one_ what follows from another text in one of the G (ranflow stops where the bytes come out the",
    "same: 4 steps, the others run 11). `x` is how many times as long as ranflow it takes. CPU is user and system time of",
    "all processes, RSS the peak of the process that was started.",
    "",
    `${machine.cores} cores of ${machine.cpu}, ${machine.memory} GiB, ${machine.system}; ${results.at.slice(0, 10)}.`,
    "",
    ...Object.entries(versions).map(([name, version]) => `- ${name}: ${version}`),
    ...absent.map(({ name, why }) => `- ${name} is absent: ${why}`),
    "",
    "## What must hold",
    "",
    "| figure | at most | measured |",
    "| --- | --- | --- |",
    ...limits(sizes).map(
      ({ what, unit, atMost, value }) =>
        `| ${what} | ${atMost} ${unit} | ${value === undefined ? "not measured" : `${short(value)} ${unit}`} |`,
    ),
  ];
  for (const size of sizes) lines.push("", ...sizeLines(size, results.largest));
  return `${lines.join("\n")}\n`;
}

function sizeLines({ steps, tools }: SizeResult, largest: Results["largest"]): readonly string[] {
  const ours = tools["ranflow"];
  const cell = (measurement: Measurement, figures: Figures): string => {
    const perStep = measurement === "first" ? ` (${short((figures.wall / steps) * 1000)} ms a step)` : "";
    const ratio = ours ? figures.wall / ours[measurement].wall : Number.NaN;
    const times = ratio === 1 || Number.isNaN(ratio) ? "" : ` ${short(ratio)}x`;
    return `${short(figures.wall)} s${perStep}${times}`;
  };
  const head = [
    "tool",
    ...measurements.map((measurement) => names[measurement]),
    "CPU of first, no-op",
    "peak RSS",
  ];
  const out = Object.entries(largest).filter(([name, most]) => most < steps && !(name in tools));
  return [
    `## ${steps.toLocaleString("en")} steps`,
    "",
    `| ${head.join(" | ")} |`,
    `|${" --- |".repeat(head.length)}`,
    ...Object.entries(tools).map(([name, figures]) => {
      const peak = Math.max(...measurements.map((measurement) => figures[measurement].peak ?? 0));
      const cells = measurements.map((measurement) => cell(measurement, figures[measurement]));
      const cpu = `${short(figures.first.cpu)}, ${short(figures.noop.cpu)} s`;
      return `| ${[name, ...cells, cpu, peak > 0 ? `${Math.round(peak / 1e6)} MB` : "?"].join(" | ")} |`;
    }),
    ...(out.length > 0
      ? ["", `Left out, for it takes too long: ${out.map(([name]) => name).join(", ")}.`]
      : []),
  ];
}

/** Three digits that count. */
function short(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(value >= 10 ? 3 : 2)));
}
