import {
  NodeError,
  type CollectedArtifact,
  type Coordinates,
  type InputArtifact,
  type Scalar,
} from "../../engine/sdk.ts";
import { closest } from "../data/closest.ts";
import { readMetrics, readTable } from "../records.ts";

/** A record of a report: where it lies in the grid, and what it holds. */
export interface ReportRow {
  readonly at: Coordinates;
  readonly fields: Readonly<Record<string, Scalar>>;
}

/** Word that, as a value, means the metric that each record names as its headline. */
const headline = "headline";

/**
 * Reads the records of a report: collected metrics with their coordinates, and the rows of tables.
 *
 * @throws NodeError where there is none
 */
export async function readRows(inputs: {
  readonly rows: readonly CollectedArtifact[] | undefined;
  readonly table: InputArtifact | undefined;
}): Promise<readonly ReportRow[]> {
  const rows: ReportRow[] = [];
  for (const { at, artifact } of inputs.rows ?? [])
    rows.push({ at, fields: await readMetrics(artifact.path) });
  if (inputs.table) {
    for (const fields of await readTable(inputs.table.path)) rows.push({ at: {}, fields });
  }
  if (rows.length > 0) return rows;
  throw new NodeError("there are no records to show", {
    hint: "Bind rows to collected metrics, as in `rows: { collect: evaluate.metrics }`, or table to a table.",
  });
}

/**
 * How to read a name, an axis of the grid or a field of the records, from each row; null where a row lacks it.
 *
 * @param role the parameter that holds the name, for messages
 * @throws NodeError where the name is unknown, or both an axis and a field
 */
export function address(rows: readonly ReportRow[], name: string, role: string): (row: ReportRow) => Scalar {
  const axes = namesOf(rows.map(({ at }) => at));
  const fields = namesOf(rows.map((row) => row.fields));
  if (axes.has(name) && fields.has(name)) {
    throw new NodeError(`${role} ${name} is both an axis of the grid and a field of the records`, {
      hint: "Rename the axis in the pipeline, so that the name means one thing.",
    });
  }
  if (axes.has(name)) return ({ at }) => valueOf(at, name);
  if (fields.has(name)) return (row) => valueOf(row.fields, name);
  throw unknownName(name, role, [...axes], [...fields]);
}

/**
 * Like `address`, for what is measured: `headline` means each record's own headline metric, and everything else has
 * to be a number.
 *
 * @throws NodeError also where a value is text
 */
export function addressValue(
  rows: readonly ReportRow[],
  name: string,
  role: string,
): (row: ReportRow) => number | null {
  const read = name === headline ? headlineOf(rows, role) : address(rows, name, role);
  return (row) => {
    const value = read(row);
    if (value === null || typeof value === "number") return value;
    throw new NodeError(`${role} ${name} is ${JSON.stringify(value)} ${placeOf(row)}, not a number`, {
      hint: "Name a measured field, for instance auc.",
    });
  };
}

/** Where a row lies, in words. */
export function placeOf({ at, fields }: ReportRow): string {
  const place = Object.entries(Object.keys(at).length > 0 ? at : fields).slice(0, 6);
  return `at ${place.map(([name, value]) => `${name}=${String(value)}`).join(", ")}`;
}

function headlineOf(rows: readonly ReportRow[], role: string): (row: ReportRow) => Scalar {
  if (!rows.some(({ fields }) => Object.hasOwn(fields, headline))) {
    const fields = namesOf(rows.map((row) => row.fields));
    throw unknownName(headline, role, [], [...fields]);
  }
  return ({ fields }) => {
    const metric = valueOf(fields, headline);
    return typeof metric === "string" ? valueOf(fields, metric) : null;
  };
}

/** A metric may be called `constructor`, which every object has. */
function valueOf(record: Readonly<Record<string, Scalar>>, name: string): Scalar {
  return Object.hasOwn(record, name) ? (record[name] ?? null) : null;
}

function namesOf(objects: readonly Readonly<Record<string, Scalar>>[]): Set<string> {
  return new Set(objects.flatMap((object) => Object.keys(object)));
}

function unknownName(
  name: string,
  role: string,
  axes: readonly string[],
  fields: readonly string[],
): NodeError {
  const near = closest(name, [...axes, ...fields]);
  const lists = [...(axes.length > 0 ? [`Axes: ${axes.join(", ")}.`] : []), `Fields: ${fields.join(", ")}.`];
  return new NodeError(`${role} ${JSON.stringify(name)} is no axis of the grid and no field of the records`, {
    hint: `${near ? `Did you mean ${near}? ` : ""}${lists.join(" ")}`,
  });
}
