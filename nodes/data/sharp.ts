import type sharp from "sharp";

/**
 * The image library, loaded on first use: one thread a picture, since steps run in parallel workers, and no cache of
 * results, since no picture is decoded twice in a row.
 */
export async function loadSharp(): Promise<typeof sharp> {
  const { default: library } = await import("sharp");
  library.concurrency(1);
  library.cache(false);
  return library;
}
