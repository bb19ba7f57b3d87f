import type { RunResult } from "../model/events.ts";
import { elapsed, failedSteps, logTail, timeByNode } from "../model/run-state.ts";
import type { RunState, StepState } from "../model/run-state.ts";
import { formatCount, formatDuration, formatPercent, plural, printable, printableLines } from "./format.ts";
import type { Paint } from "./paint.ts";
import { shellWord } from "./shell-word.ts";

const shownFailures = 5;
const shownLacks = 5;
const shownNodes = 8;
const shownLogLines = 8;

/**
 * What stays on the screen after a run: outcome and counts, failures with what to do, where the time went, tables
 * and files.
 */
export function summaryLines(state: RunState, paint: Paint): readonly string[] {
  if (state.status === "idle") return [];
  const parts = [
    state.results.flatMap((result) => ["", ...resultLines(result, paint)]),
    timeLines(state, paint),
    failureLines(state, paint),
    lackLines(state, paint),
    ["", outcomeLine(state, paint)],
    nextLines(state, paint),
  ];
  return parts.flat();
}

/** One failed step as it fails: what, why, what to do, where, and the end of its log. */
export function failureDetail(state: RunState, step: StepState, paint: Paint): readonly string[] {
  const lines = [...failureReason(step, paint)];
  const tail = logTail(state, step.id, shownLogLines);
  if (tail.length > 0) {
    lines.push(paint("dim", "  last lines of its log:"));
    for (const { message } of tail)
      for (const line of printableLines(message)) lines.push(paint("dim", `    ${line}`));
  }
  return lines;
}

function failureReason(step: StepState, paint: Paint): readonly string[] {
  const lines = [`${paint("red", "failed")}  ${paint("bold", step.id)}`];
  const error = step.error;
  if (error) {
    const words = error.kind === "node" ? error.message : `${error.kind}: ${error.message}`;
    for (const line of printableLines(words)) lines.push(`  ${line}`);
    if (error.hint !== undefined)
      for (const line of printableLines(error.hint)) lines.push(`  hint: ${line}`);
    if (error.at !== undefined) lines.push(`  at ${printable(error.at)}`);
  }
  return lines;
}

function resultLines(result: RunResult, paint: Paint): readonly string[] {
  const step = result.title === result.step ? "" : `  ${paint("dim", result.step)}`;
  const lines = [`${paint("bold", printable(result.title))}${step}`];
  if (result.text !== undefined && result.text.trim() !== "")
    lines.push("", ...printableLines(result.text), "");
  for (const file of result.files) lines.push(`  ${printable(file)}`);
  return lines;
}

function timeLines(state: RunState, paint: Paint): readonly string[] {
  const times = timeByNode(state);
  if (times.length === 0) return [];
  const shown = times.slice(0, shownNodes);
  const rest = times.slice(shownNodes);
  const rows = shown.map(({ node, spent, share }) => [
    node.name,
    formatDuration(spent),
    formatPercent(share),
    `${plural(node.executed, "execution")}${node.executed > 1 ? `, ${formatDuration(spent / node.executed)} each` : ""}`,
  ]);
  if (rest.length > 0) {
    const spent = rest.reduce((sum, time) => sum + time.spent, 0);
    const share = rest.reduce((sum, time) => sum + time.share, 0);
    rows.push([plural(rest.length, "other node"), formatDuration(spent), formatPercent(share), ""]);
  }
  const name = Math.max(...rows.map((row) => row[0]?.length ?? 0));
  const time = Math.max(...rows.map((row) => row[1]?.length ?? 0));
  return [
    "",
    paint("bold", "Where the time went"),
    ...rows.map(([first = "", second = "", third = "", fourth = ""]) =>
      `  ${first.padEnd(name)}  ${second.padStart(time)}  ${third.padStart(4)}  ${paint("dim", fourth)}`.trimEnd(),
    ),
  ];
}

/** Failures with the same reason are one entry: a bad label fails a whole column of a grid. */
function failureLines(state: RunState, paint: Paint): readonly string[] {
  const groups = new Map<string, StepState[]>();
  for (const step of failedSteps(state)) {
    const reason = JSON.stringify([step.error?.kind, step.error?.message]);
    groups.set(reason, [...(groups.get(reason) ?? []), step]);
  }
  const shown = [...groups.values()].slice(0, shownFailures);
  const lines = shown.flatMap(([first, ...others]) => {
    if (!first) return [];
    const more =
      others.length > 0
        ? [paint("dim", `  and ${plural(others.length, "other step")} for the same reason`)]
        : [];
    return ["", ...failureReason(first, paint), ...more];
  });
  const rest = failedSteps(state).length - shown.reduce((sum, steps) => sum + steps.length, 0);
  if (rest > 0) lines.push("", `and ${plural(rest, "more failed step")}`);
  return lines;
}

/** Results that lack some of their items, also those from the store: nobody warns about these again. */
function lackLines({ lacking }: RunState, paint: Paint): readonly string[] {
  const lines = lacking
    .slice(0, shownLacks)
    .flatMap(({ passing, step, what }) => [
      "",
      `${paint("yellow", "lacking")} ${paint("bold", step)}`,
      ...printableLines(what).map((line) => `  ${line}`),
      ...(passing > 0
        ? [
            `  the same command with ${paint("cyan", `--force ${shellWord(step)}`)} asks again for what is missing`,
          ]
        : []),
    ]);
  const rest = lacking.length - shownLacks;
  return rest > 0 ? [...lines, "", `and ${plural(rest, "more result")} that lack something`] : lines;
}

function outcomeLine(state: RunState, paint: Paint): string {
  const words = {
    succeeded: paint("green", "succeeded"),
    failed: paint("red", "failed"),
    interrupted: paint("yellow", "interrupted"),
    idle: "not started",
    planning: "not finished",
    running: "not finished",
    stopping: "not finished",
  } as const;
  return `${paint("bold", state.pipeline)} ${words[state.status]} in ${formatDuration(elapsed(state))}: ${countWords(state)}`;
}

/** `24 ran, 12 cached, 3 shared, 1 failed, 2 skipped`: only what there is. */
function countWords(state: RunState): string {
  const { succeeded, cached, shared, failed, skipped, cancelled, queued, running, waiting } = state.counts;
  const open = queued + running + waiting;
  const words = [
    [succeeded, "ran"],
    [cached, "cached"],
    [shared, "shared"],
    [failed, "failed"],
    [cancelled, "cancelled"],
    [skipped, "skipped"],
    [open, "not done"],
  ] as const;
  const said = words.filter(([count]) => count > 0).map(([count, word]) => `${formatCount(count)} ${word}`);
  return said.length > 0 ? said.join(", ") : "nothing to do";
}

function nextLines(state: RunState, paint: Paint): readonly string[] {
  const first = failedSteps(state)[0];
  const lines: string[] = [];
  const store = state.storeOption === undefined ? "" : ` --store ${shellWord(printable(state.storeOption))}`;
  if (first) lines.push("next:", `  ${paint("cyan", `ranflow log${store} ${shellWord(first.id)}`)}`);
  if (state.status === "failed" || state.status === "interrupted") {
    const checkpoints = state.status === "interrupted" ? ", from the checkpoints there are" : "";
    lines.push(`  the same command again runs only what is not done${checkpoints}`);
  }
  return lines;
}
