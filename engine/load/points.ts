import type { SourceRange } from "../model/source.ts";
import type { Axis } from "./axes.ts";
import { checkMentions, resolve } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import type { Report } from "./report.ts";
import { suggest } from "./similar.ts";
import { describe } from "./tree.ts";
import type { Tree } from "./tree.ts";

/** A part of the grid: for each axis that it names, by its qualified name, the labels that belong to it. */
export interface Point {
  readonly range: SourceRange;
  readonly labels: ReadonlyMap<string, ReadonlySet<number>>;
}

/**
 * Reads a list of points: `[{ cxr: [test, ood] }, { gamma: 0 }]`.
 *
 * @param add makes a label of a value that an axis (as the file names it) does not have; undefined where it cannot
 */
export function readPoints(
  field: string,
  tree: Tree,
  scope: Scope,
  report: Report,
  add: (axis: string, value: Tree) => number | undefined = () => undefined,
): Point[] {
  const here = { ...scope, axes: undefined, place: `\`${field}\`` };
  checkMentions(tree, here, report);
  const resolved = resolve(tree, here, () => 0, report);
  if (!resolved) return [];
  if (resolved.kind !== "list") {
    report.error("wrong-type", `\`${field}\` is ${describe(resolved)}`, resolved.range, {
      hint: `it is a list of points: \`${field}: [{ axis: label }]\``,
    });
    return [];
  }
  const points: Point[] = [];
  for (const item of resolved.items) {
    if (item.kind !== "map" || item.entries.length === 0) {
      report.error(
        "wrong-type",
        `a point of \`${field}\` is ${describe(item)} that names no axis`,
        item.range,
        {
          hint: "a point names axes and their labels: `{ axis: label }` or `{ axis: [label, label] }`",
        },
      );
      continue;
    }
    const labels = new Map<string, ReadonlySet<number>>();
    for (const { key, keyRange, value } of item.entries) {
      const axis = findAxis(key, keyRange, scope, report);
      if (!axis) continue;
      const values = value.kind === "list" ? value.items : [value];
      const found = values.flatMap((each) => {
        const isKnown = each.kind === "scalar" && axis.indexOf.has(each.text);
        // A rule may speak of labels that this choice of values leaves out.
        if (!isKnown && each.kind === "scalar" && axis.former.has(each.text)) return add(key, each) ?? [];
        const before = report.errors();
        const added = isKnown ? undefined : add(key, each);
        if (added !== undefined || report.errors() > before) return added ?? [];
        return readLabel(axis, each, report) ?? [];
      });
      labels.set(axis.name, new Set(found));
    }
    if (labels.size === item.entries.length) points.push({ range: item.range, labels });
  }
  return points;
}

/** The axis of this name, or an error. */
export function findAxis(name: string, range: SourceRange, scope: Scope, report: Report): Axis | undefined {
  const axis = scope.axes?.get(name);
  if (!axis) {
    report.error("unknown-axis", `there is no axis \`${name}\``, range, {
      hint: suggest(name, scope.axes?.keys() ?? [], "the axes are") ?? "declare it under `axes:`",
    });
  }
  return axis;
}

/** The index of the label that a value names, or an error. */
export function readLabel(axis: Axis, tree: Tree, report: Report): number | undefined {
  if (tree.kind !== "scalar") {
    report.error("wrong-type", `${describe(tree)} is no label of axis \`${axis.name}\``, tree.range, {
      hint: suggest("", axis.labels, "its labels are"),
    });
    return undefined;
  }
  const index = axis.indexOf.get(tree.text);
  if (index === undefined) {
    report.error(
      "unknown-label",
      `axis \`${axis.name}\` has no label \`${tree.text}\``,
      tree.use ?? tree.range,
      {
        hint: suggest(tree.text, axis.labels, "its labels are"),
        related: [{ message: `axis \`${axis.name}\` is declared here`, location: axis.range }],
      },
    );
  }
  return index;
}
