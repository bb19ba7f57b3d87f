import { constants } from "node:fs";
import { copyFile, link, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { StepCheckpoint } from "../../engine/sdk.ts";
import type { Reached } from "./progress.ts";

const stateFile = "state.json";
const weightsFile = "epoch.pt";

/** Where a training goes on: the file that OpenCLIP wrote, and what its log had told until then. */
export interface ResumePoint extends Reached {
  /** Path of OpenCLIP's checkpoint. */
  readonly path: string;
}

/** Where OpenCLIP leaves the checkpoint of an epoch's end. */
export function epochFile(logs: string, epochs: number): string {
  return join(logs, "run", "checkpoints", `epoch_${epochs}.pt`);
}

/** The last checkpoint of a training; undefined where it begins anew. */
export async function resumePoint(checkpoint: StepCheckpoint): Promise<ResumePoint | undefined> {
  const folder = await checkpoint.restore();
  if (folder === undefined) return undefined;
  const reached = JSON.parse(await readFile(join(folder, stateFile), "utf8")) as Reached;
  return { ...reached, path: join(folder, weightsFile) };
}

/** Keeps OpenCLIP's checkpoints as those of the step. */
export interface CheckpointKeeper {
  /** Keeps the end of an epoch once all that was asked for before is kept, if it is still there and no older one. */
  keep(reached: Reached): void;
  /** Waits until all is kept; the number of epochs that are. File system errors are passed on. */
  settled(): Promise<number>;
}

/** @param kept epochs that are in a checkpoint already */
export function checkpointKeeper(checkpoint: StepCheckpoint, logs: string, kept: number): CheckpointKeeper {
  let last = kept;
  let work = Promise.resolve();
  const keep = async (reached: Reached): Promise<void> => {
    if (reached.epochs <= last) return;
    const file = epochFile(logs, reached.epochs);
    await checkpoint.save(async (folder) => {
      await linkOrCopy(file, join(folder, weightsFile));
      await writeFile(join(folder, stateFile), JSON.stringify(reached));
    });
    last = reached.epochs;
  };
  return {
    keep(reached) {
      work = work.then(() =>
        keep(reached).catch((error: NodeJS.ErrnoException) => {
          // OpenCLIP has removed it since: the next epoch's is there, or will be.
          if (error.code !== "ENOENT") throw error;
        }),
      );
      // It is met when all are waited for.
      work.catch(() => undefined);
    },
    async settled() {
      await work;
      return last;
    },
  };
}

/** OpenCLIP never changes a checkpoint, so that another name for it will do where the file system has such. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}
