import { NodeError, type Scalar } from "../../engine/sdk.ts";
import { studentQuantile } from "../metrics/student.ts";
import type { Aggregate } from "./aggregates.ts";
import { axisOrder } from "./order.ts";
import { address, addressValue, placeOf, type ReportRow } from "./rows.ts";

/** Share of the possible means that an interval of `mean-ci` holds. */
const confidence = 0.95;

export interface PivotOptions {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** One value per cell, or several side by side. */
  readonly values: readonly string[];
  readonly aggregate: Aggregate;
}

/** A cell's value; null where there is none. */
export interface Cell {
  readonly value: number | null;
  /** Sample standard deviation, where asked for and there are two values or more. */
  readonly sd?: number;
  /** Half the width of the mean's 95 % confidence interval by Student's t, where asked for and there are two values or more. */
  readonly ci?: number;
  /** Number of values. */
  readonly n: number;
  /** It is a difference, and shows its sign. */
  readonly signed?: true;
}

/** A pivoted table: labels in axis order, no row or column without any record. */
export interface Pivot {
  readonly rowNames: readonly string[];
  readonly columnNames: readonly string[];
  readonly rows: readonly (readonly Scalar[])[];
  /** Labels of the column fields and, where there are several values, the value's name last. */
  readonly columns: readonly (readonly Scalar[])[];
  /** [row][column] */
  readonly cells: readonly (readonly Cell[])[];
}

/**
 * Arranges records by row and column fields.
 *
 * @throws NodeError for a name that is unknown or ambiguous, and for several records in one cell unless aggregated
 */
export function pivot(records: readonly ReportRow[], options: PivotOptions): Pivot {
  const named = (names: readonly string[], role: string): ((row: ReportRow) => Scalar)[] =>
    names.map((name) => address(records, name, role));
  const rowReaders = named(options.rows, "row");
  const columnReaders = named(options.columns, "column");
  const readers = [...rowReaders, ...columnReaders];
  const keys = records.map((record) => readers.map((read) => read(record)));
  const orders = readers.map((_, field) =>
    axisOrder(
      keys.map((key) => key[field] as Scalar),
      keys.map((key) => text(key.filter((_label, other) => other !== field))),
    ),
  );

  const split = rowReaders.length;
  const rows = distinct(
    keys.map((key) => key.slice(0, split)),
    orders.slice(0, split),
  );
  const columnKeys = distinct(
    keys.map((key) => key.slice(split)),
    orders.slice(split),
  );
  const several = options.values.length > 1;
  const columns = columnKeys.flatMap((key) => options.values.map((name) => (several ? [...key, name] : key)));

  const values = options.values.map((name) => addressValue(records, name, "value"));
  const groups = new Map<string, ReportRow[]>();
  records.forEach((record, i) => {
    const key = text(keys[i] as readonly Scalar[]);
    groups.set(key, [...(groups.get(key) ?? []), record]);
  });
  const cells = rows.map((row) =>
    columnKeys.flatMap((column) => {
      const group = groups.get(text([...row, ...column])) ?? [];
      return values.map((read) => aggregated(group, read, options));
    }),
  );
  return {
    rowNames: options.rows,
    columnNames: several ? [...options.columns, "value"] : options.columns,
    rows,
    columns,
    cells,
  };
}

function aggregated(
  group: readonly ReportRow[],
  read: (row: ReportRow) => number | null,
  { aggregate, rows, columns }: PivotOptions,
): Cell {
  if (group.length > 1 && aggregate === "error") {
    const [first, second] = group as [ReportRow, ReportRow];
    throw new NodeError(
      `${group.length} records fall into one cell of ${[...rows, ...columns].join(", ")}: ${placeOf(first)} and ${placeOf(second)}`,
      { hint: "Name what tells them apart in rows or columns, or set aggregate: mean." },
    );
  }
  const numbers = group.map(read).filter((value) => value !== null);
  if (numbers.length === 0) return { value: null, n: 0 };
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  const n = numbers.length;
  if (n < 2 || aggregate === "mean" || aggregate === "error") return { value: mean, n };
  const squares = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const sd = Math.sqrt(squares / (n - 1));
  if (aggregate === "mean-sd") return { value: mean, sd, n };
  return { value: mean, ci: (studentQuantile(confidence, n - 1) * sd) / Math.sqrt(n), n };
}

/** The different keys, sorted by the order of each field's labels. */
function distinct(keys: readonly (readonly Scalar[])[], orders: readonly (readonly Scalar[])[]): Scalar[][] {
  const unique = new Map(keys.map((key) => [text(key), [...key]]));
  const ranks = orders.map((order) => new Map(order.map((label, rank) => [label, rank])));
  return [...unique.values()].toSorted((a, b) => {
    for (const [field, rank] of ranks.entries()) {
      const difference = (rank.get(a[field] as Scalar) ?? 0) - (rank.get(b[field] as Scalar) ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  });
}

function text(key: readonly Scalar[]): string {
  return JSON.stringify(key);
}
