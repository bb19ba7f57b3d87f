import type { Command } from "commander";
import type { Grid } from "../../model/grid.ts";
import type { Plan, PlanEstimate, Reason, StepStatus } from "../../model/plan.ts";
import { columns } from "../../report/columns.ts";
import { estimateText } from "../../report/estimate.ts";
import { plural, selectionWords } from "../../report/format.ts";
import { formatReason } from "../../plan/explain.ts";
import type { GridPart } from "../../grid/part.ts";
import { collect, profileOption } from "../inspect.ts";
import { collectOptional, forcedSteps, namedPart, partOrExit, selectorHelp } from "../selection.ts";
import type { OptionalValues } from "../selection.ts";

interface PlanOptions {
  readonly set: readonly string[];
  readonly profile: readonly string[];
  readonly store?: string;
  readonly remote?: string;
  /** `gamma=0,20` texts; true to print the axes of every node. */
  readonly axes?: OptionalValues;
  readonly force?: OptionalValues;
  readonly scan?: boolean;
  readonly steps?: boolean;
  readonly json?: boolean;
}

const statuses: readonly StepStatus[] = ["hit", "run", "rebuild", "shared", "unknown"];

/** `ranflow plan PIPELINE`: what a run would do, and why. */
export function register(program: Command): void {
  program
    .command("plan")
    .summary("show what would run, what is cached, and why")
    .description(
      `Expands the grid and compares it with the store. Runs no step.\n\nWith STEPs, of these alone and of what they need. ${selectorHelp}`,
    )
    .usage("[options] <pipeline> [step...]")
    .argument("[arguments...]", "the pipeline's YAML file, and the steps to plan: all unless some are named")
    .option("--set <input=value>", "replace an input", collect, [])
    .option(...profileOption)
    .option("--store <dir>", "the store to compare with")
    .option("--remote <dir>", "as if run with --remote: count results of a shared folder, too")
    .option(
      "--axes [part]",
      "plan a part of the grid, for instance gamma=0,20; alone: print the axes of every node instead",
      collectOptional,
    )
    .option(
      "--force [step]",
      "as if run with --force: run in spite of a result in the store",
      collectOptional,
    )
    .option("--scan", "hash external data now, so that nothing stays unknown because of it")
    .option("--steps", "list every step")
    .option("--json", "print JSON")
    .action(async (args: string[], options: PlanOptions) => {
      const { pipeline, steps, values } = namedPart("plan", args, {
        "--axes": options.axes,
        "--force": options.force,
      });
      const { "--axes": axes, "--force": force } = values;
      const { openPipeline, openStoreOrExit } = await import("../context.ts");
      const { grid: whole } = await openPipeline(pipeline, { set: options.set, profile: options.profile });
      const part = await partOrExit(whole, { steps, axes: typeof axes === "object" ? axes : [] });
      const { grid } = part;
      if (axes === true) {
        console.log(options.json ? JSON.stringify(axesOf(grid), undefined, 2) : axesText(grid));
        return;
      }
      const where = options.store === undefined ? {} : { store: options.store };
      const store = await openStoreOrExit({
        ...where,
        readOnly: options.scan !== true,
        remote: { flag: options.remote },
      });
      const { createPlanner } = await import("../../plan/planner.ts");
      const isForced = await forcedSteps(whole, part, force);
      const planner = createPlanner({ grid, store, ...(isForced && { force: isForced }) });
      await planner.start();
      if (options.scan) await (await import("../scan.ts")).scanAll(planner, store);
      await planner.foresee();
      const plan = planner.snapshot();
      const { estimatePlan } = await import("../../run/plan-estimate.ts");
      const estimate = estimatePlan({ grid, planner, store });
      console.log(
        options.json
          ? JSON.stringify(planJson(part, plan, estimate), undefined, 2)
          : planText(part, plan, { ...options, estimate }),
      );
    });
}

function axesOf(grid: Grid): Record<string, { axes: readonly string[]; steps: number }> {
  return Object.fromEntries(
    grid.nodes.map((node) => [node.name, { axes: node.axes, steps: node.steps.length }]),
  );
}

function axesText(grid: Grid): string {
  const labels = Object.entries(grid.axes).map(([axis, values]) => `${axis}: ${values.join(", ")}`);
  const rows = grid.nodes.map((node) => [node.name, String(node.steps.length), node.axes.join(", ") || "-"]);
  return [...labels, "", ...columns([["node", "steps", "axes"], ...rows])].join("\n");
}

function planJson({ grid, of, selected }: GridPart, plan: Plan, estimate: PlanEstimate): object {
  return {
    pipeline: grid.pipeline,
    ...(selected.length < of && { selection: { selected: selected.length, of } }),
    counts: plan.counts,
    executions: plan.executions,
    estimate,
    steps: grid.steps.map((step, index) => ({ step: step.id, ...plan.steps[index] })),
  };
}

function planText(
  { grid, of, partial, selected }: GridPart,
  plan: Plan,
  { estimate, steps }: Pick<PlanOptions, "steps"> & { readonly estimate: PlanEstimate },
): string {
  const rows = grid.nodes.map((node) => {
    const count = (status: StepStatus): string => {
      const n = node.steps.filter((index) => plan.steps[index]?.status === status).length;
      return n === 0 ? "." : String(n);
    };
    return [node.name, ...statuses.map(count), whyNode(node.steps, plan)];
  });
  const total =
    selected.length < of
      ? selectionWords({ selected: selected.length, of }, grid.steps.length)
      : plural(of, "step");
  const { atLeast, atMost } = plan.executions;
  const bounds = atLeast === atMost ? `${atLeast} to execute` : `between ${atLeast} and ${atMost} to execute`;
  return [
    `${grid.pipeline}: ${total}, ${bounds}`,
    ...partialLines(partial),
    "",
    ...columns([["node", ...statuses, "why"], ...rows]),
    ...(steps ? ["", ...stepLines(grid, plan)] : sharedLines(grid, plan)),
    ...estimateLines(estimate),
  ].join("\n");
}

function estimateLines(estimate: PlanEstimate): readonly string[] {
  const { heading, notes, rows } = estimateText(estimate);
  if (heading.length === 0) return [];
  return ["", ...heading, ...columns(rows).map((line) => `  ${line}`), ...notes];
}

function partialLines(partial: readonly string[]): readonly string[] {
  if (partial.length === 0) return [];
  const named = partial.slice(0, 3).join(", ");
  const more = partial.length > 3 ? ` and ${partial.length - 3} more` : "";
  return ["", `Of a part of an axis, with results of its own beside those of the whole: ${named}${more}`];
}

/** The reasons of a node's steps that are not hits, the commonest first. */
function whyNode(steps: readonly number[], plan: Plan): string {
  const counts = new Map<string, number>();
  for (const index of steps) {
    const step = plan.steps[index];
    if (!step || step.status === "hit" || step.status === "shared") continue;
    const text = brief(step.reason);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  const sorted = [...counts].toSorted((a, b) => b[1] - a[1]);
  const shown = sorted.slice(0, 2).map(([text, n]) => (n === steps.length ? text : `${n} x ${text}`));
  return [...shown, ...(sorted.length > 2 ? [`${sorted.length - 2} more reasons`] : [])].join("; ");
}

/** Names of upstream steps are left out, so that steps of a node that wait for the same node read alike. */
function brief(reason: Reason): string {
  if (reason.kind !== "upstream-runs") return formatReason(reason);
  const nodes = [...new Set(reason.steps.map((step) => step.replace(/\[.*$/s, "")))];
  return `after ${nodes.join(", ")}`;
}

function sharedLines(grid: Grid, plan: Plan): readonly string[] {
  const shared = grid.steps.flatMap((step, index) => {
    const reason = plan.steps[index]?.reason;
    return reason?.kind === "same-work" ? [`  ${step.id} is the same work as ${reason.as}`] : [];
  });
  if (shared.length === 0) return [];
  const rest = shared.length - 12;
  return [
    "",
    "Executed once for several steps:",
    ...shared.slice(0, 12),
    ...(rest > 0 ? [`  ... and ${rest} more (--steps)`] : []),
  ];
}

function stepLines(grid: Grid, plan: Plan): readonly string[] {
  return columns(
    grid.steps.map((step, index) => {
      const planned = plan.steps[index];
      return [step.id, planned?.status ?? "unknown", planned ? formatReason(planned.reason) : ""];
    }),
  );
}
