import type { StepId } from "../model/ids.ts";
import type { Scalar } from "../model/json.ts";
import type { Metrics } from "./measured.ts";

/** A row of a table of metrics: which step, its labels, and what it measured. */
export type MetricsRow = Readonly<Record<string, Scalar>>;

/** Which step a row is of, and whether its result is that of the pipeline as it now reads. */
interface RowIdentity {
  readonly step: StepId;
  readonly result?: "current" | "previous";
}

const identity: readonly string[] = ["step", "result"] satisfies readonly (keyof RowIdentity)[];

/** The column of an axis: its name, or `axis.step` where that would hide which step the row is of. */
export function axisColumn(axis: string): string {
  return identity.includes(axis) ? `axis.${axis}` : axis;
}

/**
 * Makes a row. A measured field hides neither the step nor a label: where it is called like one of these, it is
 * `measured.step`.
 *
 * @param axes all axes of the table, so that no column is a label in one row and something measured in another
 */
export function metricsRow(
  of: RowIdentity,
  point: Readonly<Record<string, string>>,
  measured: Metrics,
  axes: readonly string[],
): MetricsRow {
  const taken = new Set([...identity, ...axes.map(axisColumn)]);
  const columnOf = (field: string): string => {
    let column = field;
    while (taken.has(column) || (column !== field && Object.hasOwn(measured, column)))
      column = `measured.${column}`;
    return column;
  };
  // Without a prototype: another step may have measured what is called `valueOf`.
  const row = Object.assign(Object.create(null) as Record<string, Scalar>, of);
  for (const [axis, label] of Object.entries(point)) row[axisColumn(axis)] = label;
  for (const [field, value] of Object.entries(measured)) row[columnOf(field)] = value;
  return row;
}
