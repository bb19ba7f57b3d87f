import type { RunEvent } from "../model/events.ts";
import type { StepId } from "../model/ids.ts";
import type { Reporter } from "../model/reporter.ts";
import { eta, initialRunState, mainSeries, rate, reduce, settled } from "../model/run-state.ts";
import { share, stepById, stepRemaining } from "../model/run-state.ts";
import type { RunState, StepState } from "../model/run-state.ts";
import * as format from "./format.ts";
import { createOutput } from "./output.ts";
import { createPaint } from "./paint.ts";
import type { Paint } from "./paint.ts";
import { failureDetail, summaryLines } from "./summary.ts";

/** Up to so many executions each has its own lines; beyond, only the long ones. */
const smallGrid = 100;
const longStep = 10_000;
const progressInterval = 10_000;
const progressShare = 0.1;

export interface PlainReporterOptions {
  readonly stream: NodeJS.WritableStream;
  readonly color: boolean;
  /** A person watches: progress every 10 s instead of every 30 s. */
  readonly interactive?: boolean;
  /** A run that is already under way, for instance after the terminal UI was left. */
  readonly state?: RunState;
}

/**
 * One line for each thing worth knowing, and a summary at the end. Cached steps are counted, progress comes every
 * 10 s or 10 %, and in a large grid short steps appear only in the counts. Its clock is the events' own, so that a
 * replay prints what the run printed.
 */
export function createPlainReporter(options: PlainReporterOptions): Reporter {
  const output = createOutput(options.stream, options);
  const paint = createPaint(options.color);
  const lines = createLines(options.interactive ? progressInterval : progressInterval * 3, paint);
  let state = options.state ?? initialRunState;
  if (options.state) lines.follow(options.state);
  return {
    event(event) {
      const before = state;
      state = reduce(before, event);
      for (const line of lines.event(before, state, event)) output.line(line);
      for (const line of lines.progress(state, event)) output.fleeting(line);
    },
    async close() {
      for (const line of summaryLines(state, paint)) output.line(line);
      await output.flush();
    },
  };
}

interface Lines {
  follow(state: RunState): void;
  event(before: RunState, state: RunState, event: RunEvent): readonly string[];
  progress(state: RunState, event: RunEvent): readonly string[];
}

function createLines(interval: number, paint: Paint): Lines {
  let verbose = true;
  let lastOverall = { t: 0, settled: 0 };
  let warned = 0;
  const lastOfStep = new Map<StepId, { readonly t: number; readonly share: number }>();

  const at = (state: RunState): string =>
    paint("dim", `[${format.formatClock(state.now - state.startedAt)}]`);

  const follow = (state: RunState): void => {
    verbose = state.executions.atMost <= smallGrid;
    lastOverall = { t: state.now, settled: settled(state.counts) };
  };

  const event = (before: RunState, state: RunState, event: RunEvent): readonly string[] => {
    switch (event.type) {
      case "run-started":
        return [
          `${paint("bold", event.pipeline)}  ${paint("dim", `run ${event.run}, backend ${event.backend}, ${slotWords(event.slots)}`)}`,
        ];
      case "plan-ready":
        follow(state);
        return [`${at(state)} plan: ${planWords(state)}`];
      case "step-queued":
        return before.failed.includes(state.index.get(event.step) ?? -1)
          ? [`${at(state)} again   ${event.step}`]
          : [];
      case "step-pending":
        return verbose && event.reason !== stepById(before, event.step)?.pending
          ? [`${at(state)} waits   ${event.step}  ${paint("dim", event.reason)}`]
          : [];
      case "step-started":
        if (event.phase === "scan") return [];
        if (event.attempt > 1) return [`${at(state)} attempt ${event.attempt}  ${event.step}`];
        return verbose ? [`${at(state)} start   ${event.step}${hostWords(event.host, event.gpus)}`] : [];
      case "step-log": {
        if (event.level === "info") return [];
        warned += 1;
        // A step that warns about every image must not bury the rest; its log has them all.
        if (warned > 20) return warned === 21 ? [`${at(state)} further warnings are in the steps' logs`] : [];
        const word = paint(event.level === "error" ? "red" : "yellow", event.level);
        return [`${at(state)} ${word} ${event.step}: ${format.printableLines(event.message)[0] ?? ""}`];
      }
      case "step-succeeded": {
        lastOfStep.delete(event.step);
        const shared = event.sharedWith !== undefined && event.sharedWith !== event.step;
        if (shared || (!verbose && event.duration < longStep)) return [];
        const took = paint("dim", format.formatDuration(event.duration));
        return [
          `${at(state)} ${paint("green", "done")}    ${event.step}  ${took}${metricWords(event.metrics)}`,
        ];
      }
      case "step-failed": {
        lastOfStep.delete(event.step);
        const step = stepById(state, event.step);
        if (!event.willRetry && step)
          return failureDetail(state, step, paint).map((line, row) =>
            row === 0 ? `${at(state)} ${line}` : line,
          );
        return [
          `${at(state)} ${paint("yellow", "retry")}   ${event.step}: ${format.printableLines(event.error.message)[0] ?? ""}`,
        ];
      }
      case "step-cancelled": {
        const kept = event.checkpointed ? ", checkpoint kept" : "";
        return [`${at(state)} ${paint("yellow", "cancel")}  ${event.step}${kept}`];
      }
      case "run-stopping":
        return [
          event.how === "checkpoint"
            ? `${at(state)} stopping: ${format.plural(state.running.length, "step")} may save a checkpoint; Ctrl-C again stops now`
            : `${at(state)} stopping now`,
        ];
      case "run-finished":
      case "step-scanned":
      case "step-progress":
      case "steps-cached":
      case "step-cached":
      case "step-skipped":
        return [];
      default:
        event satisfies never;
        return [];
    }
  };

  const progress = (state: RunState, event: RunEvent): readonly string[] => {
    if (event.type === "step-progress") {
      const step = stepById(state, event.step);
      return step && verbose ? stepProgress(state, step) : [];
    }
    if (!/^steps?-(cached|succeeded|failed|skipped|cancelled)$/.test(event.type)) return [];
    return overallProgress(state);
  };

  const stepProgress = (state: RunState, step: StepState): readonly string[] => {
    if (step.work !== "run" || step.startedAt === undefined) return [];
    const last = lastOfStep.get(step.id) ?? { t: step.startedAt, share: 0 };
    const done = share(step) ?? 0;
    const due = state.now - last.t >= interval;
    // A tenth of a step that takes a second is no news.
    const tenth = done - last.share >= progressShare && state.now - last.t >= progressInterval / 2;
    if (!due && !tenth) return [];
    lastOfStep.set(step.id, { t: state.now, share: done });
    return [`${at(state)}         ${step.id}  ${progressWords(state, step)}`];
  };

  const overallProgress = (state: RunState): readonly string[] => {
    const total = state.steps.length;
    const done = settled(state.counts);
    if (verbose || total === 0 || done === total) return [];
    const due = state.now - lastOverall.t >= interval;
    const tenth = done - lastOverall.settled >= total * progressShare && state.now - lastOverall.t >= 1000;
    if (!due && !tenth) return [];
    lastOverall = { t: state.now, settled: done };
    const left = eta(state);
    const words = [
      `${format.formatCount(done)}/${format.formatCount(total)} steps`,
      state.counts.cached > 0 ? `${format.formatCount(state.counts.cached)} cached` : "",
      state.counts.failed > 0 ? paint("red", `${format.formatCount(state.counts.failed)} failed`) : "",
      `${format.formatCount(state.running.length)} running`,
      left ? `${left.atLeast ? "at least " : "about "}${format.formatEstimate(left.milliseconds)} left` : "",
    ];
    return [`${at(state)} ${words.filter((word) => word !== "").join(", ")}`];
  };

  return { follow, event, progress };
}

function hostWords(host: string | undefined, gpus: readonly number[] = []): string {
  if (host === undefined) return "";
  return gpus.length > 0 ? `  on ${host}, gpu ${gpus.join(",")}` : `  on ${host}`;
}

function slotWords(slots: RunState["slots"]): string {
  const gpus = slots.gpu > 0 ? `, ${format.plural(slots.gpu, "gpu")}` : "";
  return `${format.formatCount(slots.cpu)} cpu${gpus}`;
}

function planWords(state: RunState): string {
  const { atLeast, atMost } = state.executions;
  const total = state.selection
    ? format.selectionWords(state.selection, state.steps.length)
    : format.plural(state.steps.length, "step");
  if (atMost === 0) return `${total}, all of them done before`;
  const range =
    atLeast === atMost
      ? format.formatCount(atMost)
      : `${format.formatCount(atLeast)} to ${format.formatCount(atMost)}`;
  return `${total}, ${range} to run`;
}

function progressWords(state: RunState, step: StepState): string {
  const progress = step.progress;
  if (!progress) return "";
  const part = share(step);
  const speed = rate(step);
  const left = stepRemaining(state, step, state.now);
  const name = mainSeries(step);
  const value = name === undefined ? undefined : step.series[name]?.last;
  const unit = progress.unit === "" ? "" : ` ${progress.unit}s`;
  const words = [
    part === undefined ? "" : format.formatPercent(part),
    progress.total > 0
      ? `${format.formatCount(progress.done)}/${format.formatCount(progress.total)}${unit}`
      : `${format.formatCount(progress.done)}${unit}`,
    speed === undefined ? "" : format.formatRate(speed),
    left === undefined ? "" : `${format.formatEstimate(left)} left`,
    value === undefined || name === undefined ? "" : `${name} ${format.formatValue(value)}`,
  ];
  return words.filter((word) => word !== "").join(", ");
}

function metricWords(metrics: StepState["metrics"]): string {
  const headline = metrics?.["headline"];
  const value = typeof headline === "string" ? metrics?.[headline] : headline;
  if (typeof value !== "number") return "";
  return `  ${typeof headline === "string" ? headline : "headline"} ${format.formatValue(value)}`;
}
