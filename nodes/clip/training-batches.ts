import type { LocatedFile } from "../../engine/sdk.ts";
import { openImageReader } from "../data/image-reader.ts";
import { prefetch } from "./prefetch.ts";
import type { PlannedBatch } from "./training-plan.ts";

/** Pixels that are kept in memory, at most, so that an epoch need not decode them anew. */
const memory = 2 ** 30;

/**
 * The planned batches with their images at the model's size, [B, S, S, 3] bytes. The next ones are made ready while
 * the caller trains: with `augment` under the training transform, else under the evaluation transform.
 *
 * @param records by the indices of the batches
 */
export async function* trainingBatches(
  planned: Iterable<PlannedBatch>,
  records: readonly { readonly id: string; readonly file: LocatedFile }[],
  { size, augment, seed }: { readonly size: number; readonly augment: boolean; readonly seed: number },
): AsyncGenerator<PlannedBatch & { readonly rgb: Uint8Array }> {
  const reader = openImageReader({ size, memory });
  try {
    const batches = prefetch(planned, ({ indices, epoch }) =>
      reader.read(
        indices.map((index) => {
          const { id, file } = records[index]!;
          return { id, path: file.path, crop: augment ? { seed, epoch } : undefined };
        }),
      ),
    );
    for await (const { item, loaded } of batches) yield { ...item, rgb: loaded };
  } finally {
    await reader.close();
  }
}
