import type { StepBlobs } from "../../engine/sdk.ts";
import { openImageReader } from "../data/image-reader.ts";
import type { ImageText } from "../formats.ts";

/** One image with its target. */
export interface AttackItem {
  readonly pair: ImageText;
  readonly target: ImageText;
}

/** The pixels of items under the evaluation transform, [n, S, S, 3] bytes each. */
export interface AttackPixels {
  readonly clean: Uint8Array;
  readonly targets: Uint8Array;
}

/** Reads the images of items beside the attack. */
export interface AttackImages {
  /** @param next items that are likely wanted next: they are read while the caller works on these */
  read(items: readonly AttackItem[], next: readonly AttackItem[]): Promise<AttackPixels>;
  close(): Promise<void>;
}

/** Opens a reader of items' images at the surrogate's size. */
export function openAttackImages(blobs: StepBlobs, size: number): AttackImages {
  const reader = openImageReader({ size });
  let begun: { readonly items: readonly AttackItem[]; readonly pixels: Promise<AttackPixels> } | undefined;

  const load = async (items: readonly AttackItem[]): Promise<AttackPixels> => {
    const records = [...items.map(({ pair }) => pair), ...items.map(({ target }) => target)];
    const files = await blobs.locate(records.map(({ image }) => image));
    const both = await reader.read(records.map(({ id }, index) => ({ id, path: files[index]!.path })));
    const half = both.length / 2;
    return { clean: both.subarray(0, half), targets: both.subarray(half) };
  };

  return {
    read(items, next) {
      const pixels = begun && sameItems(begun.items, items) ? begun.pixels : load(items);
      begun = next.length > 0 ? { items: next, pixels: load(next) } : undefined;
      // What is wrong with an image is said when its turn comes, if it does.
      begun?.pixels.catch(() => undefined);
      return pixels;
    },
    close: () => reader.close(),
  };
}

function sameItems(a: readonly AttackItem[], b: readonly AttackItem[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
