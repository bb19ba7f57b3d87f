import type { MarkedWord } from "../captions/word-changes.ts";

/** A sheet of rewritten captions. */
export interface CaptionSheet {
  readonly title: string;
  /** Empty for none. */
  readonly prompt: string;
  readonly rows: readonly CaptionRow[];
}

/** A caption before and after. */
export interface CaptionRow {
  readonly id: string;
  /** Who rewrote it. */
  readonly by: string;
  /** Word-modification ratio. */
  readonly wmr: number;
  readonly before: readonly MarkedWord[];
  readonly after: readonly MarkedWord[];
}

/** What a sheet says that has no rows. */
export const noRows = "No caption was rewritten.";

/** A word-modification ratio as readers see it. */
export function percent(wmr: number): string {
  return `${(100 * wmr).toFixed(0)} %`;
}
