import type { SourceRange } from "../model/source.ts";
import type { Axis } from "../load/axes.ts";
import type { GridRules, IncludedPoint } from "../load/grid-rules.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";
import { takenAxes } from "./taken-axes.ts";
import { layoutOf } from "./layout.ts";
import type { Dimension } from "./layout.ts";
import { includedRows } from "./trimming.ts";
import type { NodeAxes } from "./infer.ts";

/** Where a grid stops being one that somebody means to run. */
export interface GridLimits {
  readonly maxSteps: number;
  /** Artifacts that steps read, over all steps: a collect of a large grid at every point of another one. */
  readonly maxReads: number;
}

/** Refuses a grid that is too large, before anything is expanded; says how many steps each node has. */
export function checkSize(
  order: readonly NodeSpec[],
  axes: ReadonlyMap<string, Axis>,
  nodeAxes: NodeAxes,
  { include }: GridRules,
  limits: GridLimits,
  report: Report,
): boolean {
  const axesOf = (node: string): Axis[] => (nodeAxes.get(node) ?? []).flatMap((name) => axes.get(name) ?? []);
  const counts = order.map((spec) => ({
    spec,
    own: axesOf(spec.name),
    steps: pointCount(axesOf(spec.name), include),
  }));
  const steps = counts.reduce((sum, count) => sum + count.steps, 0);
  if (steps > limits.maxSteps) {
    const largest = counts.toSorted((a, b) => b.steps - a.steps);
    const lines = largest
      .slice(0, 8)
      .map(
        ({ own, spec, steps: count }) =>
          `${spec.name} ${format(count)}${own.length > 0 ? ` (${own.map(({ labels, name }) => `${name} ${labels.length}`).join(" x ")})` : ""}`,
      );
    const more = largest.length > 8 ? `, and ${largest.length - 8} smaller nodes` : "";
    tooLarge(
      `the grid has ${format(steps)} steps, more than ${format(limits.maxSteps)}`,
      largest[0]?.spec.range,
      `steps per node: ${lines.join(", ")}${more}`,
      report,
    );
    return false;
  }
  for (const { spec, steps: count } of counts) {
    for (const { sources } of spec.ports) {
      for (const { choices, range } of sources) {
        for (const binding of choices[0]?.bindings ?? []) {
          if (!binding.over) continue;
          const gathered = takenAxes(binding, axesOf(binding.node)).filter(
            ({ name }) => !binding.at.has(name),
          );
          const reads = count * pointCount(gathered, include);
          if (reads <= limits.maxReads) continue;
          tooLarge(
            `the steps of \`${spec.name}\` would read ${format(reads)} artifacts here, more than ${format(limits.maxReads)}`,
            range,
            "collect over fewer axes",
            report,
          );
          return false;
        }
      }
    }
  }
  return true;
}

/** Number of grid points over some axes, those that trimming takes away included. */
function pointCount(axes: readonly Axis[], include: readonly IncludedPoint[]): number {
  const layout = layoutOf(axes);
  const product = (rows: (dimension: Dimension) => number): number =>
    layout.dimensions.reduce((size, dimension) => size * rows(dimension), 1);
  const declared = product(
    (dimension) => dimension.rows.filter((_, row) => dimension.isDeclared(row)).length,
  );
  const added = include
    .map((point) => includedRows(layout, point))
    .reduce((sum, rows) => sum + (rows ? product((dimension) => rows.get(dimension)?.size ?? 0) : 0), 0);
  const points = Math.min(layout.size, declared + added);
  // Points that few labels span are kept in a table of all of them.
  return layout.size > mostSpanned ? Math.max(points, layout.size) : points;
}

/** Points of a node, there or not, that a table is made for. */
const mostSpanned = 16_000_000;

const format = (count: number): string => count.toLocaleString("en");

function tooLarge(message: string, range: SourceRange | undefined, hint: string, report: Report): void {
  report.error("grid-too-large", message, range, { hint });
}
