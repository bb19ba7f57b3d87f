import { constants } from "node:os";
import { NodeError } from "../../engine/sdk.ts";
import { checkEnd } from "../exec/end.ts";
import type { ProgramEnd } from "../exec/supervise.ts";

/** Lines before torchrun's own report that are kept for ours. */
const tailLines = 30;

const reportLine = /torch\/distributed\/elastic\/.*failed \(exitcode: (-?\d+)\)/;
const errorLine = /^(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?:: .*)?)$/;

/** What a training printed about its failure: that of its first process, before torchrun reports at length. */
export interface FailureReader {
  take(line: string): void;
  /**
   * Sees that the training ended well.
   *
   * @param tail the last lines it printed
   * @throws NodeError with the error that Python raised, or what became of the process
   */
  check(end: ProgramEnd, tail: readonly string[]): void;
}

/** Reads what torchrun and the processes that it started print. */
export function failureReader(): FailureReader {
  const before: string[] = [];
  let cause: string | undefined;
  let exitCode: number | undefined;
  return {
    take(line) {
      if (exitCode !== undefined) return;
      const [, code] = reportLine.exec(line) ?? [];
      if (code !== undefined) {
        exitCode = Number(code);
        return;
      }
      before.push(line);
      if (before.length > tailLines) before.shift();
      const [, error] = errorLine.exec(line) ?? [];
      cause = error ?? cause;
    },
    check(end, tail) {
      if (end.code === 0) return;
      if (exitCode !== undefined && exitCode < 0) {
        return checkEnd("open_clip_train", { code: null, signal: signalOf(-exitCode) }, before);
      }
      if (cause === undefined || exitCode === undefined) return checkEnd("torchrun", end, tail);
      throw new NodeError(`OpenCLIP's training failed: ${cause}`, {
        hint: /OutOfMemory|out of memory|can't allocate memory/.test(cause)
          ? "let batches go through the model in parts (`accumulation`), save activations (`recompute: true`), compute in " +
            "`precision: bfloat16`, or share batches between more GPUs"
          : "`ranflow log STEP` has all that it printed",
        detail: before.join("\n"),
      });
    },
  };
}

function signalOf(number: number): NodeJS.Signals | null {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return (found?.[0] as NodeJS.Signals | undefined) ?? null;
}
