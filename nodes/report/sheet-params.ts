import { z } from "zod";

/** Parameters that sheets share. */
interface SheetParams {
  readonly count: z.ZodDefault<z.ZodNumber>;
  readonly ids: z.ZodDefault<z.ZodArray<z.ZodString>>;
  readonly cell: z.ZodDefault<z.ZodNumber>;
  readonly title: z.ZodDefault<z.ZodString>;
}

/**
 * What a sheet shows, how large, and under what title.
 *
 * @param count how many rows unless told, and at most
 * @param first which ones come first
 * @param ids what ids take the place of these
 * @param cell pixels of an image unless told, and what they are
 */
export function sheetParams({
  count: [count, most = 100],
  first,
  ids = "show these images in place of the first",
  cell: [cell, what = "width of an image on the sheet"] = [200],
}: {
  readonly count: readonly [count: number, most?: number];
  readonly first: string;
  readonly ids?: string;
  readonly cell?: readonly [pixels: number, what?: string];
}): SheetParams {
  return {
    count: z.int().min(1).max(most).default(count).meta({ description: first }),
    ids: z.array(z.string()).default([]).meta({ description: ids }),
    cell: z.int().min(48).max(2000).default(cell).meta({ unit: "px", description: what }),
    title: z.string().default("").meta({ description: "title of the sheet" }),
  };
}
