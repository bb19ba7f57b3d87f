import type { Look } from "./look.ts";
import type { Spans } from "./spans.ts";

/** A bar of `width` columns, filled to `share` (0 to 1). Full only where nothing is left. */
export function bar(share: number, width: number, look: Look): Spans {
  const clamped = Math.min(1, Math.max(0, share));
  const full = clamped >= 1 ? width : Math.min(width - 1, Math.floor(clamped * width));
  return [
    { text: look.glyphs.barFull.repeat(Math.max(0, full)), color: "green" },
    { text: look.glyphs.barEmpty.repeat(Math.max(0, width - full)), dim: true },
  ];
}

/**
 * A sparkline of the last values in at most `width` columns, scaled to their own range. More values than columns
 * are averaged, so that the whole history is in view.
 */
export function sparkline(values: readonly number[], width: number, look: Look): string {
  const finite = values.filter((value) => Number.isFinite(value));
  if (finite.length === 0 || width <= 0) return "";
  const columns = Math.min(width, finite.length);
  const means = Array.from({ length: columns }, (_, column) => {
    const from = Math.floor((column * finite.length) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * finite.length) / columns));
    const part = finite.slice(from, to);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const low = Math.min(...means);
  const high = Math.max(...means);
  const levels = look.glyphs.spark;
  return means
    .map((value) => {
      const level = high > low ? (value - low) / (high - low) : 0.5;
      return levels[Math.min(levels.length - 1, Math.floor(level * levels.length))];
    })
    .join("");
}
