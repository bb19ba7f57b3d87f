import type { StepPhase } from "../model/run-state.ts";
import type { CellKind, Look } from "./look.ts";
import { cellColors } from "./look.ts";
import type { Span, Spans } from "./spans.ts";

/** A strip: its cells in order, and how many steps each stands for. */
export interface Strip {
  readonly cells: readonly CellKind[];
  /** Steps per cell: 1 where all of them fit. The last cell may stand for fewer. */
  readonly per: number;
}

/** One cell for each step; where they do not fit into `most` cells, one for each so many neighbours. */
export function stripOf(phases: readonly StepPhase[], most: number): Strip {
  if (most <= 0 || phases.length === 0) return { cells: [], per: 1 };
  const per = Math.ceil(phases.length / most);
  if (per === 1) return { cells: phases, per };
  const cells: CellKind[] = [];
  for (let start = 0; start < phases.length; start += per) cells.push(bucket(phases, start, per));
  return { cells, per };
}

// What a person must see comes first: one failed step among a hundred is the news of its bucket.
const loud = ["failed", "running", "cancelled", "skipped"] as const;

function bucket(phases: readonly StepPhase[], start: number, size: number): CellKind {
  const seen = new Set<StepPhase>();
  for (let at = start; at < Math.min(start + size, phases.length); at += 1) {
    const phase = phases[at];
    if (phase) seen.add(phase);
  }
  for (const phase of loud) if (seen.has(phase)) return phase;
  const open = seen.has("waiting") || seen.has("queued");
  const done = seen.has("succeeded") || seen.has("cached") || seen.has("shared");
  if (open) return done ? "partial" : seen.has("queued") ? "queued" : "waiting";
  if (seen.has("succeeded")) return "succeeded";
  return seen.has("cached") ? "cached" : "shared";
}

/** The rows of a strip at `width` cells each, neighbours of one kind in one span; `selected` is a cell. */
export function stripRows(
  strip: Strip,
  options: { readonly width: number; readonly selected?: number | undefined; readonly look: Look },
): readonly Spans[] {
  const rows: Spans[] = [];
  for (let start = 0; start < strip.cells.length; start += options.width) {
    const row: Span[] = [];
    for (let at = start; at < Math.min(start + options.width, strip.cells.length); at += 1) {
      const kind = strip.cells[at] ?? "waiting";
      const text = options.look.glyphs.cell[kind];
      const last = row.at(-1);
      if (at === options.selected) row.push({ text, color: cellColors[kind], inverse: true });
      else if (last && !last.inverse && last.color === cellColors[kind])
        row[row.length - 1] = { ...last, text: last.text + text };
      else row.push({ text, color: cellColors[kind] });
    }
    rows.push(row);
  }
  return rows;
}
