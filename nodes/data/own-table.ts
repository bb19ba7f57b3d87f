/** A researcher's own table: CSV, JSON lines or Parquet, told apart by the file's ending. */
import { extname } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { closest } from "./closest.ts";
import { readCsv } from "./csv.ts";
import type { NamedFile } from "./csv.ts";
import { readJsonLines } from "./json-lines.ts";

/** One row: the asked columns as text, and how messages call its place. Nothing and null are the empty text. */
export interface OwnRow {
  readonly at: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Endings of the tables that can be read. */
export const tableEndings = [".csv", ".jsonl", ".ndjson", ".parquet"] as const;

/**
 * Reads the asked columns.
 *
 * @throws NodeError naming file and row: an ending that is not known, columns that are missing, cells that are no
 *   single value
 */
export async function readOwnTable(file: NamedFile, columns: readonly string[]): Promise<readonly OwnRow[]> {
  const wanted = [...new Set(columns)];
  switch (extname(file.name).toLowerCase()) {
    case ".csv": {
      const rows = await readCsv(file, { required: wanted });
      return rows.map(({ fields, line }) => ({ at: `${file.name}:${line}`, fields }));
    }
    case ".jsonl":
    case ".ndjson":
      return jsonRows(file, wanted);
    case ".parquet":
      return parquetRows(file, wanted);
    default:
      throw new NodeError(`${file.name} is no table that can be read`, {
        hint: `Tables end in ${tableEndings.join(", ")}.`,
      });
  }
}

async function jsonRows(file: NamedFile, wanted: readonly string[]): Promise<readonly OwnRow[]> {
  const rows: OwnRow[] = [];
  const seen = new Set<string>();
  for await (const { line, value } of readJsonLines(file)) {
    for (const column of Object.keys(value)) seen.add(column);
    rows.push({ at: `${file.name}:${line}`, fields: fieldsOf(value, wanted, `${file.name}:${line}`) });
  }
  // A record may leave a field out; a column that none has is misspelt.
  checkColumns(file, wanted, [...seen]);
  return rows;
}

async function parquetRows(file: NamedFile, wanted: readonly string[]): Promise<readonly OwnRow[]> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } =
    await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  try {
    const buffer = await asyncBufferFromFile(file.path);
    const metadata = await parquetMetadataAsync(buffer);
    const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
    checkColumns(file, wanted, columns);
    const rows = await parquetReadObjects({ file: buffer, metadata, compressors, columns: [...wanted] });
    return rows.map((row, index) => {
      const at = `${file.name}, row ${index + 1},`;
      return { at, fields: fieldsOf(row, wanted, at) };
    });
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    throw new NodeError(`${file.name} cannot be read as Parquet: ${(cause as Error).message}`, {
      cause,
      hint: "The file may have been cut off: copy it again from its source.",
    });
  }
}

function checkColumns(file: NamedFile, wanted: readonly string[], columns: readonly string[]): void {
  for (const name of wanted) {
    if (columns.includes(name)) continue;
    const near = closest(name, columns);
    throw new NodeError(`${file.name} has no column ${JSON.stringify(name)}`, {
      hint: near === undefined ? `Its columns are ${columns.join(", ")}.` : `Did you mean ${near}?`,
    });
  }
}

function fieldsOf(
  value: Readonly<Record<string, unknown>>,
  wanted: readonly string[],
  at: string,
): Record<string, string> {
  return Object.fromEntries(wanted.map((name) => [name, cellText(value[name], name, at)]));
}

function cellText(value: unknown, column: string, at: string): string {
  switch (typeof value) {
    case "undefined":
      return "";
    case "string":
      return value;
    case "number":
    case "bigint":
      return String(value);
    case "boolean":
      return value ? "1" : "0";
    default:
      if (value === null) return "";
      throw new NodeError(`${at} has no single value in its column ${column}`, {
        hint: "A cell is text, a number or true or false; images are named by their path, not embedded.",
      });
  }
}
