/** What a line of progress says. */
export interface ProgramProgress {
  readonly done: number;
  readonly total: number;
  readonly series: Readonly<Record<string, number>>;
  readonly unit: string | undefined;
}

/**
 * Reads a line such as `{"ranflow": {"done": 3, "total": 10, "loss": 0.5, "unit": "step"}}`: numbers besides `done` and
 * `total` are series. Undefined for any other line.
 */
export function progressOf(line: string): ProgramProgress | undefined {
  if (!line.startsWith('{"ranflow"')) return undefined;
  const fields = fieldsOf(line);
  const { done, total, unit, ...rest } = fields;
  if (typeof done !== "number" || typeof total !== "number" || !(done >= 0 && total >= 0)) return undefined;
  const series = Object.fromEntries(
    Object.entries(rest).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
  return { done, total, series, unit: typeof unit === "string" ? unit : undefined };
}

function fieldsOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const { ranflow } = JSON.parse(line) as { readonly ranflow?: unknown };
    return typeof ranflow === "object" && ranflow !== null ? (ranflow as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
