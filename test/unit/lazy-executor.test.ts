import { describe, expect, it } from "vitest";
import { lazyExecutor } from "../../engine/executors/lazy.ts";
import type { ExecutionListener, Executor, StepRequest } from "../../engine/executors/types.ts";

const listener: ExecutionListener = {
  started: () => {},
  progress: () => {},
  log: () => {},
  output: () => {},
};
const placement = { threads: 1, gpus: [] };
const request = (step: string): StepRequest =>
  ({ kind: "scan", step, type: "test", params: {} }) as unknown as StepRequest;

/** An executor that notes what it is asked, and ends an execution when it is cancelled. */
function noting(): { readonly executor: Executor; readonly notes: string[] } {
  const notes: string[] = [];
  return {
    notes,
    executor: {
      execute({ step }) {
        notes.push(`execute ${step}`);
        const { promise, resolve } = Promise.withResolvers<{ kind: "cancelled"; checkpointed: boolean }>();
        return {
          outcome: promise,
          cancel(how) {
            notes.push(`cancel ${step} ${how}`);
            resolve({ kind: "cancelled", checkpointed: how === "checkpoint" });
          },
        };
      },
      close: async () => void notes.push("close"),
    },
  };
}

describe("a lazy executor", () => {
  it("is made when a step is expected, and hears of it", async () => {
    const { executor, notes } = noting();
    const expected: number[] = [];
    const lazy = lazyExecutor(async () => ({
      ...executor,
      expect: ({ threads }) => void expected.push(threads),
    }));
    lazy.expect?.(placement);
    await lazy.close();
    expect(expected).toEqual([1]);
    expect(notes).toEqual(["close"]);
  });

  it("is not made for a run that executes nothing", async () => {
    let made = 0;
    const lazy = lazyExecutor(async () => {
      made++;
      return noting().executor;
    });
    await lazy.close();
    expect(made).toBe(0);
  });

  it("is made once, keeps the order of requests, and passes cancelling and closing on", async () => {
    const { executor, notes } = noting();
    let made = 0;
    const lazy = lazyExecutor(async () => {
      made++;
      return executor;
    });
    const executions = ["a", "b"].map((step) => lazy.execute(request(step), placement, listener));
    await new Promise(setImmediate);
    executions[1]?.cancel("checkpoint");
    executions[0]?.cancel("now");
    expect(await Promise.all(executions.map(({ outcome }) => outcome))).toEqual([
      { kind: "cancelled", checkpointed: false },
      { kind: "cancelled", checkpointed: true },
    ]);
    await lazy.close();
    expect(made).toBe(1);
    expect(notes).toEqual(["execute a", "execute b", "cancel b checkpoint", "cancel a now", "close"]);
  });

  it("does not begin what was cancelled while it was being made", async () => {
    const { executor, notes } = noting();
    const { promise, resolve } = Promise.withResolvers<Executor>();
    const lazy = lazyExecutor(() => promise);
    const { cancel, outcome } = lazy.execute(request("a"), placement, listener);
    cancel("now");
    resolve(executor);
    expect(await outcome).toEqual({ kind: "cancelled", checkpointed: false });
    expect(notes).toEqual([]);
  });
});
