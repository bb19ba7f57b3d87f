import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Json } from "../../engine/sdk.ts";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../safetensors.ts";
import type { TrainingState } from "./train.ts";

const tensorsFile = "state.safetensors";
const notesFile = "state.json";

/** Notes beside the tensors: whatever else the caller needs to go on, as JSON. */
export type CheckpointNotes = { readonly [name: string]: Json };

/**
 * Writes all that training needs to go on with the same bytes.
 *
 * @param folder an empty folder
 * @param rest the best weights so far, where they are kept, and the caller's notes
 */
export async function saveTraining(
  folder: string,
  state: TrainingState,
  { best, notes }: { best: ReadonlyMap<string, Float32Array> | undefined; notes: CheckpointNotes },
): Promise<void> {
  const flat = (
    kind: string,
    tensors: ReadonlyMap<string, Float32Array>,
  ): readonly (readonly [string, StoredTensor])[] =>
    [...tensors].map(([name, data]) => [`${kind}/${name}`, { shape: [data.length], data }]);
  const centroids = state.centroids && {
    valid: state.centroids.valid,
    rows: state.centroids.values.rows,
    cols: state.centroids.values.cols,
    // Running centroids are kept in double precision, which safetensors files here do not hold.
    data: Buffer.from(Float64Array.from(state.centroids.values.data).buffer).toString("base64"),
  };
  await writeSafetensors(join(folder, tensorsFile), [
    ...state.head.trained.save(),
    ...flat("statistics", state.head.statistics),
    ...flat("best", best ?? new Map()),
  ]);
  await writeFile(
    join(folder, notesFile),
    JSON.stringify({ step: state.step, centroids: centroids ?? null, notes }),
  );
}

interface SavedNotes {
  readonly step: number;
  readonly centroids: { valid: boolean[]; rows: number; cols: number; data: string } | null;
  readonly notes: CheckpointNotes;
}

/** Puts a saved state into a fresh one of the same options; returns the best weights and the notes. */
export async function restoreTraining(
  folder: string,
  state: TrainingState,
): Promise<{ readonly best: Map<string, Float32Array>; readonly notes: CheckpointNotes }> {
  const { tensors } = await readSafetensors(join(folder, tensorsFile));
  const saved = JSON.parse(await readFile(join(folder, notesFile), "utf8")) as SavedNotes;
  const values = (name: string): Float32Array => tensors.get(name)?.data as Float32Array;
  state.head.trained.restore(tensors, saved.step);
  for (const [name, data] of state.head.statistics) data.set(values(`statistics/${name}`));
  state.step = saved.step;
  if (saved.centroids) {
    const { valid, rows, cols, data } = saved.centroids;
    const bytes = Uint8Array.from(Buffer.from(data, "base64"));
    state.centroids = { valid, values: { rows, cols, data: new Float64Array(bytes.buffer) } };
  }
  const best = new Map<string, Float32Array>();
  for (const name of tensors.keys()) {
    if (name.startsWith("best/")) best.set(name.slice("best/".length), values(name));
  }
  return { best, notes: saved.notes };
}
