import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { restoreTraining, saveTraining } from "../heads/checkpoint.ts";
import type { Journal } from "../heads/journal.ts";
import type { TrainingState } from "../heads/train.ts";
import { readSafetensors, writeSafetensors } from "../safetensors.ts";
import type { TrainedFusion } from "./trained-fusion.ts";

/** All that training changes. */
export interface VqaTraining {
  readonly fusion: TrainedFusion;
  readonly head: TrainingState;
  readonly journal: Journal;
}

const fusionFile = "fusion.safetensors";
const headFolder = "head";

/** Writes all that training needs to go on with the same bytes into an empty folder. */
export async function saveVqaTraining(folder: string, { fusion, head, journal }: VqaTraining): Promise<void> {
  await writeSafetensors(join(folder, fusionFile), fusion.save());
  await mkdir(join(folder, headFolder));
  await saveTraining(join(folder, headFolder), head, { best: journal.best?.weights, notes: journal.notes() });
}

/** Puts a saved state into a fresh one. Random state is not kept: order and dropout follow from the seed and the step. */
export async function restoreVqaTraining(
  folder: string,
  { fusion, head, journal }: VqaTraining,
): Promise<void> {
  journal.restore(await restoreTraining(join(folder, headFolder), head));
  const { tensors } = await readSafetensors(join(folder, fusionFile));
  fusion.restore(tensors, head.step);
}
