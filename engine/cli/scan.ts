import type { Store } from "../../cache/types.ts";
import { createLocalExecutor } from "../executors/local.ts";
import type { Planner } from "../plan/types.ts";
import { createAnswerer } from "../run/answers.ts";
import { libraryUrl } from "./context.ts";
import { fail } from "./exit.ts";

/**
 * Hashes the external files of every step that waits for it and is wanted, one dataset after the other: `--scan` of
 * `plan` and `explain`.
 */
export async function scanAll(
  planner: Planner,
  store: Store,
  wanted: (step: number) => boolean = () => true,
): Promise<void> {
  const executor = createLocalExecutor({
    storeRoot: store.root,
    libraryUrls: [libraryUrl()],
    answer: createAnswerer(store),
    warm: 1,
    devices: [],
  });
  try {
    for (let waiting = scans(planner); waiting.length > 0; waiting = scans(planner)) {
      for (const index of waiting.filter(wanted)) await scanStep(index, planner, store, executor);
    }
  } finally {
    await executor.close();
  }
}

function scans(planner: Planner): readonly number[] {
  return planner.takeActions().flatMap((action) => (action.kind === "scan" ? [action.step] : []));
}

async function scanStep(
  index: number,
  planner: Planner,
  store: Store,
  executor: ReturnType<typeof createLocalExecutor>,
): Promise<void> {
  const step = planner.grid.steps[index];
  if (!step) throw new Error(`internal error: no step ${index}`);
  const { plugin, type } = step.nodeType;
  const { outcome } = executor.execute(
    { kind: "scan", step: step.id, type, ...(plugin && { plugin }), params: step.params },
    { threads: 1, gpus: [] },
    { started: () => {}, progress: () => {}, log: () => {}, output: () => {} },
  );
  const ended = await outcome;
  if (ended.kind === "failed") {
    const { message, hint } = ended.error;
    fail(`${step.id}: ${message}${hint ? `\n  ${hint}` : ""}`, 1);
  }
  const external = ended.kind === "scanned" ? ended.external : undefined;
  if (external) await store.registerExternal(external.dataset, external.root, external.list.digest);
  await planner.scanned(index, external?.list);
}
