/** The executor before worker processes that end their requests when the test says. */
import { expect, it, vi } from "vitest";
import { createLocalExecutor } from "../../engine/executors/local.ts";
import type { ExecutionListener, ExecutionOutcome, StepRequest } from "../../engine/executors/types.ts";
import type { WorkerProcess, WorkerProcessOptions } from "../../engine/executors/worker-process.ts";

const notes: string[] = [];
/** Ends the request that is served, by step. */
const ends = new Map<string, (outcome: ExecutionOutcome) => void>();

vi.mock("../../engine/executors/worker-process.ts", async (importOriginal) => ({
  ...(await importOriginal<object>()),
  startWorker({ number }: WorkerProcessOptions): WorkerProcess {
    let serving = "nothing";
    return {
      number,
      started: Promise.resolve(undefined),
      serve({ step }) {
        notes.push(`${number} serves ${step}`);
        serving = step;
        return new Promise((resolve) => ends.set(step, resolve));
      },
      cancel: (how) => void notes.push(`${how} cancels ${serving}`),
      usable: () => true,
      residentMemory: () => 0,
      close: async () => {},
    };
  },
}));

it("cancels nothing of another step that the process has begun since", async () => {
  const executor = createLocalExecutor({
    storeRoot: "/nowhere",
    libraryUrls: [],
    answer: async () => null,
    warm: 1,
    devices: [],
  });
  const listener: ExecutionListener = { started() {}, progress() {}, log() {}, output() {} };
  const execute = (step: string) =>
    executor.execute(
      { kind: "scan", step, type: "test", params: {} } as unknown as StepRequest,
      { threads: 1, gpus: [] },
      listener,
    );
  const first = execute("first");
  await vi.waitUntil(() => ends.has("first"));
  first.cancel("checkpoint");
  ends.get("first")?.({ kind: "scanned" });
  await first.outcome;
  const second = execute("second");
  first.cancel("checkpoint");
  first.cancel("now");
  second.cancel("now");
  expect(notes).toEqual([
    "0 serves first",
    "checkpoint cancels first",
    "0 serves second",
    "now cancels second",
  ]);
  await executor.close();
});
