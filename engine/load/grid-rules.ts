import { addValue, checkLabel } from "./axes.ts";
import type { OpenAxis, OpenZip, Zip } from "./axes.ts";
import { resolve, checkMentions } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import type { OpenPipeline } from "./pipelines.ts";
import { findAxis, readPoints } from "./points.ts";
import type { Point } from "./points.ts";
import type { Report } from "./report.ts";
import { describe } from "./tree.ts";
import type { Tree } from "./tree.ts";

/** What `grid` says of all nodes, beyond the product of the axes. */
export interface GridRules {
  readonly exclude: readonly Point[];
  readonly include: readonly IncludedPoint[];
}

/** A part of the grid that is there whatever else leaves it out. Axes that it does not name take all declared values. */
export interface IncludedPoint extends Point {
  /** For each zip of which it names an axis, the rows that belong to it. */
  readonly rows: ReadonlyMap<Zip, ReadonlySet<number>>;
}

/** Reads the `grid` of pipelines that belong together; zips and added values go to their axes. */
export function readGridRules(pipelines: readonly OpenPipeline[], report: Report): GridRules {
  // All zips first: an importer may zip the axes of a pipeline whose points are read before its own.
  for (const { axes, scope, source } of pipelines) {
    for (const tree of source.zip) readZips(tree, axes, scope, report);
  }
  const rules = pipelines.map((pipeline) => readTrimming(pipeline, report));
  return {
    exclude: rules.flatMap(({ exclude }) => exclude),
    include: rules.flatMap(({ include }) => include),
  };
}

function readTrimming({ axes, scope, source }: OpenPipeline, report: Report): GridRules {
  const points = source.include.flatMap((tree) =>
    readPoints("grid.include", tree, scope, report, (axis, value) => {
      const open = axes.get(axis);
      if (!open?.isList || value.kind !== "scalar" || value.value === null) return undefined;
      return checkLabel(axis, value.text, value.range, report) ? addValue(open, value) : undefined;
    }),
  );
  return {
    exclude: source.exclude.flatMap((tree) => readPoints("grid.exclude", tree, scope, report)),
    include: points.flatMap((point) => includedPoint(point, axes, report) ?? []),
  };
}

const zipForm = "it is a list of lists of axes: `zip: [[noise, model]]`";

function readZips(tree: Tree, axes: ReadonlyMap<string, OpenAxis>, scope: Scope, report: Report): void {
  const here = { ...scope, axes: undefined, place: "`grid.zip`" };
  checkMentions(tree, here, report);
  const resolved = resolve(tree, here, () => 0, report);
  if (!resolved) return;
  if (resolved.kind !== "list") {
    report.error("wrong-type", `\`grid.zip\` is ${describe(resolved)}`, resolved.range, { hint: zipForm });
    return;
  }
  for (const item of resolved.items) readZip(item, axes, scope, report);
}

function readZip(tree: Tree, axes: ReadonlyMap<string, OpenAxis>, scope: Scope, report: Report): void {
  if (tree.kind !== "list") {
    report.error("wrong-type", `${describe(tree)} in \`grid.zip\` is no list of axes`, tree.range, {
      hint: zipForm,
    });
    return;
  }
  const members: OpenAxis[] = [];
  for (const item of tree.items) {
    if (item.kind !== "scalar") {
      report.error("wrong-type", `${describe(item)} in \`grid.zip\` is no axis`, item.range, {
        hint: zipForm,
      });
      return;
    }
    const axis = findAxis(item.text, item.range, scope, report) && axes.get(item.text);
    if (!axis) return;
    if (axis.zip || members.includes(axis)) {
      report.error("invalid-zip", `the axis \`${item.text}\` is zipped twice`, item.range, {
        hint: "an axis belongs to one zip: list all that advance together in one",
      });
      return;
    }
    members.push(axis);
  }
  const [first, ...rest] = members;
  if (!first || rest.length === 0) {
    report.error("invalid-zip", "a zip has at least two axes", tree.range, { hint: zipForm });
    return;
  }
  if (rest.some(({ declared }) => declared !== first.declared)) {
    const lengths = members.map(({ declared, name }) => `\`${name}\` has ${declared}`);
    report.error("invalid-zip", `the axes of a zip differ in length: ${lengths.join(", ")}`, tree.range, {
      hint: "axes that advance together have one value for each other",
      related: members.map(({ name, range }) => ({
        message: `axis \`${name}\` is declared here`,
        location: range,
      })),
    });
    return;
  }
  const rows = Array.from({ length: first.declared }, (_, label) => members.map(() => label));
  const zip: OpenZip = { axes: members, rows, declared: rows.length };
  for (const axis of members) axis.zip = zip;
}

/**
 * A point with the rows of the zips that it names. One that names all axes of a zip may bring rows that the zip does
 * not have; of one that names some of them, the others follow.
 */
function includedPoint(
  point: Point,
  axes: ReadonlyMap<string, OpenAxis>,
  report: Report,
): IncludedPoint | undefined {
  // A label that is wrong is reported already.
  if ([...point.labels.values()].some(({ size }) => size === 0)) return undefined;
  const rows = new Map<Zip, ReadonlySet<number>>();
  for (const { zip } of axes.values()) {
    if (!zip || rows.has(zip)) continue;
    const wanted = zip.axes.map(({ name }) => point.labels.get(name));
    if (wanted.every((labels) => labels === undefined)) continue;
    const isWhole = wanted.every((labels) => labels !== undefined);
    if (isWhole && !addRows(zip, wanted, point, report)) return undefined;
    const found = zip.rows.flatMap((row, i) =>
      (isWhole || i < zip.declared) && row.every((label, k) => wanted[k]?.has(label) ?? true) ? i : [],
    );
    if (found.length === 0) {
      const names = zip.axes.map(({ name }) => `\`${name}\``).join(", ");
      report.error("invalid-zip", "no row of the zip has this value", point.range, {
        hint: `name all axes of the zip, so that the point says what goes together: ${names}`,
      });
      return undefined;
    }
    rows.set(zip, new Set(found));
  }
  return { ...point, rows };
}

/** Rows that one point may bring to a zip. */
const mostRows = 100_000;

/** Adds the combinations of these labels that a zip does not have yet; false where they are too many. */
function addRows(
  zip: OpenZip,
  wanted: readonly (ReadonlySet<number> | undefined)[],
  { range }: Point,
  report: Report,
): boolean {
  const count = wanted.reduce((product, labels) => product * (labels?.size ?? 0), 1);
  if (count > mostRows) {
    report.error(
      "grid-too-large",
      `this point stands for ${count.toLocaleString("en")} rows of a zip`,
      range,
      {
        hint: "write points that name fewer labels at once",
      },
    );
    return false;
  }
  let combinations: number[][] = [[]];
  for (const labels of wanted) {
    combinations = combinations.flatMap((row) => [...(labels ?? [])].map((label) => [...row, label]));
  }
  const known = new Set(zip.rows.map((row) => row.join()));
  for (const row of combinations) if (!known.has(row.join())) zip.rows.push(row);
  return true;
}
