import { createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import type { RunContext } from "../../engine/sdk.ts";
import { lineSplitter } from "./lines.ts";
import type { Line } from "./lines.ts";
import { progressOf } from "./progress.ts";

/** Where what a program prints goes. */
export interface ProgramOutput {
  /** Resolves when there is room for more. */
  write(stream: "stdout" | "stderr", chunk: Uint8Array): Promise<void> | undefined;
  /** The program has ended: waits until all is written. */
  close(): Promise<void>;
  /** The last lines of stderr; of stdout where there are none. */
  tail(): readonly string[];
}

const tailLines = 20;
/** A program may print this many lines at once, and so many a second after that: every line is an event of the run. */
const burst = 5_000;
const perSecond = 500;
/** Lines that are meant to be printed over, such as progress bars, are logged this often, in ms. */
const passingEvery = 2_000;

/**
 * Takes what a program prints to the step's log and, if it is wanted, stdout to a file as it is. Lines of progress
 * become progress.
 *
 * @param take sees each whole line first, and says whether it is dealt with
 */
export function openProgramOutput(
  { log, progress }: Pick<RunContext, "log" | "progress">,
  stdoutPath: string | undefined,
  {
    now = () => performance.now(),
    take = () => false,
  }: { readonly now?: () => number; readonly take?: (line: string) => boolean } = {},
): ProgramOutput {
  const file = stdoutPath === undefined ? undefined : createWriteStream(stdoutPath);
  const fileClosed = file && finished(file);
  // What goes wrong is heard of when the file is closed, whenever it happens.
  fileClosed?.catch(() => {});
  let room = burst;
  let filledAt = now();
  let omitted = 0;
  let passedAt = -Infinity;

  const hasRoom = (): boolean => {
    room = Math.min(burst, room + ((now() - filledAt) / 1000) * perSecond);
    filledAt = now();
    if (room < 1) return false;
    room--;
    return true;
  };
  const sayOmitted = (): void => {
    if (omitted > 0) log(`... ${omitted.toLocaleString("en")} lines are left out here`);
    omitted = 0;
  };
  const show = ({ passing, text }: Line): void => {
    if (text === "") return;
    if (passing) {
      if (now() - passedAt < passingEvery) return;
      passedAt = now();
    }
    if (!hasRoom()) omitted++;
    else {
      sayOmitted();
      log(text);
    }
  };

  const tails = { stdout: [] as string[], stderr: [] as string[] };
  const splitterFor = (stream: "stdout" | "stderr"): ReturnType<typeof lineSplitter> =>
    lineSplitter((line) => {
      if (take(line.text)) return;
      const update = stream === "stdout" ? progressOf(line.text) : undefined;
      if (update) {
        progress(update.done, update.total, update.series, update.unit);
        return;
      }
      const tail = tails[stream];
      if (!line.passing && line.text.trim() !== "") tail.push(line.text);
      if (tail.length > tailLines) tail.shift();
      show(line);
    });
  const splitters = { stdout: splitterFor("stdout"), stderr: splitterFor("stderr") };

  return {
    write(stream, chunk) {
      splitters[stream].write(chunk);
      if (stream === "stderr" || !file || file.write(chunk)) return undefined;
      // A file that cannot be written any more takes nothing: the program is not to hang on it.
      return new Promise((resolve) => {
        file.once("drain", resolve);
        file.once("close", resolve);
      });
    },
    async close() {
      for (const splitter of Object.values(splitters)) splitter.end();
      sayOmitted();
      file?.end();
      await fileClosed;
    },
    tail: () => (tails.stderr.length > 0 ? tails.stderr : tails.stdout),
  };
}
