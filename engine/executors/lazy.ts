import type { Execution, ExecutionOutcome, Executor } from "./types.ts";

/** An executor that is made when the first step executes, or is expected: a run of nothing but hits never pays for it. */
export function lazyExecutor(make: () => Promise<Executor>): Executor {
  let made: Promise<Executor> | undefined;
  return {
    expect(placement) {
      made ??= make();
      // Where it cannot be made, the first step says so.
      made.then((executor) => executor.expect?.(placement)).catch(() => {});
    },
    execute(request, placement, listener): Execution {
      let cancelled: Parameters<Execution["cancel"]>[0] | undefined;
      let execution: Execution | undefined;
      const begin = async (executor: Executor): Promise<ExecutionOutcome> => {
        if (cancelled) return { kind: "cancelled", checkpointed: false };
        execution = executor.execute(request, placement, listener);
        return execution.outcome;
      };
      made ??= make();
      return {
        outcome: made.then(begin),
        cancel(how) {
          cancelled = how;
          execution?.cancel(how);
        },
        taken: () => execution?.taken?.(),
      };
    },
    close: async () => (await made)?.close(),
  };
}
