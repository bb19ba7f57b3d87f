import { existsSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ranflowVersion } from "../../cache/version.ts";
import type { Store } from "../../cache/types.ts";
import { lazyExecutor } from "../executors/lazy.ts";
import { routedExecutor } from "../executors/routed.ts";
import type { GridPart } from "../grid/part.ts";
import type { Grid } from "../model/grid.ts";
import type { RunControls } from "../model/reporter.ts";
import type { SourceFile } from "../model/source.ts";
import { createPlanner } from "../plan/planner.ts";
import { createAnswerer } from "../run/answers.ts";
import { startRun } from "../run/run-grid.ts";
import { machineSlots } from "../run/slots.ts";
import type { RunOutcome } from "../run/types.ts";
import type { RunCommandOptions } from "./commands/run.ts";
import { exitWith, libraryUrl, openPipeline, openStoreOrExit } from "./context.ts";
import { outcomeCode } from "./exit.ts";
import { gitStateOf } from "./git-state.ts";
import type { GitState } from "./git-state.ts";
import { outliveOutput } from "./output.ts";
import { defaultUi, openReporter } from "./reporter.ts";
import { keepManifest } from "./run-manifest.ts";
import { forcedSteps, partOrExit } from "./selection.ts";
import type { NamedPart } from "./selection.ts";
import { followSignals } from "./signals.ts";
import { slurmSettings } from "./slurm-settings.ts";
import { overlaySlots } from "./slots-option.ts";

/** Opens, plans and runs a pipeline; the exit code. */
export async function runPipeline(
  { pipeline, steps, values }: NamedPart<"--force">,
  options: RunCommandOptions,
): Promise<number> {
  // Asked for at once, so that the answer is there when everything else is.
  const git = gitStateOf(dirname(resolve(pipeline)));
  const { files, grid } = await openPipeline(pipeline, {
    set: options.set,
    profile: options.profile,
    executor: options.executor,
    sbatch: options.sbatch,
  });
  const part = await partOrExit(grid, { steps, axes: options.axes });
  const force = values["--force"];
  const isForced = await forcedSteps(grid, part, force);
  const backend = options.backend ?? process.env["RANFLOW_BACKEND"] ?? "auto";
  if (backend !== "auto") await checkBackend(backend);
  const store = await openStoreOrExit({
    ...(options.store !== undefined && { store: options.store }),
    index: options.index,
    remote: { flag: options.remote },
  });
  warnOfNamesake(store, grid);
  const outcome = await runInStore(part, store, {
    ...options,
    backend,
    steps,
    isForced,
    force: force === true ? [] : force,
    files,
    git,
  });
  if (outcome.kind === "refused") return await exitWith(outcome.diagnostics);
  if (outcome.journalProblem) {
    process.stderr.write(
      `warning: not all that belongs to this run could be written: ${outcome.journalProblem.message}\n`,
    );
  }
  return outcomeCode(outcome.outcome);
}

/** A copy of a pipeline that kept its name is compared with the other one, and takes its place in `results/` and for gc. */
function warnOfNamesake(store: Store, { path, pipeline }: Grid): void {
  const last = store.runRecords().find((record) => record.pipeline === pipeline);
  if (!last || last.path === path || !existsSync(last.path) || realpathSync(last.path) === realpathSync(path))
    return;
  process.stderr.write(
    `warning: the last run named ${pipeline} was one of ${last.path}, and what explain compares with, results/${pipeline} and what gc keeps go by the name\n` +
      "  give one of the two another `name`, unless they are the same pipeline\n",
  );
}

/** A misspelt backend is found now rather than by the first step that computes. */
async function checkBackend(backend: string): Promise<void> {
  const { backendNames } = await import("../../nodes/compute/runtime.ts");
  if ((backendNames as readonly string[]).includes(backend)) return;
  await exitWith([
    {
      code: "unknown-backend",
      severity: "error",
      message: `there is no backend "${backend}"`,
      hint: `the backends are: auto, ${backendNames.join(", ")}; \`ranflow doctor\` says which of them work here`,
    },
  ]);
}

async function runInStore(
  { grid, of, selected }: GridPart,
  store: Store,
  options: RunCommandOptions & {
    readonly backend: string;
    /** Selectors. */
    readonly steps: readonly string[];
    readonly isForced: ((step: number) => boolean) | undefined;
    /** Selectors of `--force`; none where it stood alone. */
    readonly force: readonly string[] | undefined;
    readonly files: readonly SourceFile[];
    readonly git: Promise<GitState | undefined>;
  },
): Promise<RunOutcome> {
  const machine = await machineSlots();
  const slots = overlaySlots(machine.slots, options.slots);
  const planner = createPlanner({ grid, store, ...(options.isForced && { force: options.isForced }) });
  const run = await store.createRun();
  const serving = { storeRoot: store.root, libraryUrls: [libraryUrl()], answer: createAnswerer(store) };
  const executor = routedExecutor({
    local: lazyExecutor(async () => {
      const { createLocalExecutor } = await import("../executors/local.ts");
      return createLocalExecutor({
        ...serving,
        warm: Math.max(1, Math.ceil(slots.cpu)),
        devices: machine.devices,
      });
    }),
    slurm: lazyExecutor(async () => {
      const { createSlurmExecutor } = await import("../executors/slurm/executor.ts");
      return createSlurmExecutor({ ...serving, ...slurmSettings(process.env) });
    }),
  });
  // The reporter wants controls before there is a run, and the run wants a reporter before its first event.
  let controls: RunControls | undefined;
  const reporter = await openReporter(options.ui ?? defaultUi(), {
    stop: () => controls?.stop(),
    cancel: (step) => controls?.cancel(step),
    retryFailed: () => controls?.retryFailed(),
  });
  const invocation = {
    sets: options.set,
    profiles: options.profile,
    steps: options.steps,
    axes: options.axes,
    ...(options.force && { force: options.force }),
    cwd: process.cwd(),
  };
  outliveOutput();
  const { backend, files, git, threads } = options;
  const ranflow = ranflowVersion();
  const manifest = keepManifest(run.folder, { grid, files, invocation, git, ranflow, backend, threads }).then(
    () => undefined,
    (error: Error) => error,
  );
  const unfollow = followSignals(() => controls?.stop());
  try {
    const started = startRun({
      grid,
      planner,
      store,
      executor,
      sink: (event) => reporter.event(event),
      run,
      version: ranflow,
      invocation: { ...invocation, store: options.store },
      ...(selected.length < of && { selection: { selected: selected.length, of } }),
      options: {
        slots,
        keepGoing: options.keepGoing ?? false,
        backend: options.backend,
        ...(options.threads !== undefined && { threads: options.threads }),
        checkpointMinutes: options.checkpointMinutes,
      },
    });
    controls = started.controls;
    const outcome = await started.outcome;
    const problem = await manifest;
    if (outcome.kind === "finished") return problem ? { journalProblem: problem, ...outcome } : outcome;
    await rm(run.folder, { recursive: true, force: true });
    return outcome;
  } finally {
    unfollow();
    await executor.close();
    await reporter.close();
  }
}
