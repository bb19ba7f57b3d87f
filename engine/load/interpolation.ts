import { escapeTemplate } from "../model/template.ts";
import type { Axis } from "./axes.ts";
import type { Inputs } from "./inputs.ts";
import { mentionsOf, scalars, templateOf } from "./mentions.ts";
import type { Mention, Template } from "./mentions.ts";
import type { Related, Report } from "./report.ts";
import { similar, suggest } from "./similar.ts";
import { describe, entryOf, quote } from "./tree.ts";
import type { ScalarTree, Tree } from "./tree.ts";

/** The names that a text may mention. */
export interface Scope {
  readonly inputs: Inputs;
  /** Axes by the names that the pipeline has for them; undefined where axes cannot be mentioned. */
  readonly axes: ReadonlyMap<string, Axis> | undefined;
  /** What is being interpolated, for the message where axes cannot be mentioned: `an input`. */
  readonly place: string;
}

/** Index of the label that an axis, by its qualified name, has at the grid point. */
export type LabelOf = (axis: string) => number;

/** The axes that values mention, each once; unknown ones are left out. */
export function axesIn(trees: readonly Tree[], scope: Scope): Axis[] {
  const found = new Set<Axis>();
  for (const tree of trees) {
    for (const { root } of mentionsOf(tree)) {
      const axis = scope.axes?.get(root);
      if (axis) found.add(axis);
    }
  }
  return [...found];
}

/** Names of the axes that values mention, each once. */
export function axesMentioned(trees: readonly Tree[], scope: Scope): string[] {
  return axesIn(trees, scope).map(({ name }) => name);
}

/**
 * Reports what is wrong with a value's interpolation at every grid point: syntax, unknown names, fields that no
 * value of the axis has. Run it before `resolve`, which reports only what depends on the point.
 */
export function checkMentions(tree: Tree, scope: Scope, report: Report): void {
  for (const scalar of scalars(tree)) {
    const template = templateOf(scalar);
    for (const { message, range } of template?.problems ?? []) {
      report.error("interpolation-syntax", message, range, {
        hint: "write `$(axis)`, `$(axis.field)` or `$(inputs.name)`; a literal `$(` is `$$(`",
      });
    }
    for (const part of template?.parts ?? []) if (typeof part !== "string") checkMention(part, scope, report);
  }
}

function checkMention(mention: Mention, scope: Scope, report: Report): void {
  const { root, range } = mention;
  const settled = settledPath(mention, scope, report);
  if (!settled) return;
  const { path, givenBy } = settled;
  if (root === "inputs") return scope.inputs.check(path, range, report, givenBy);
  if (!scope.axes) {
    const isInput = scope.inputs.names().includes(root);
    report.error("interpolation-type", `${scope.place} cannot mention an axis`, range, {
      hint: isInput ? `did you mean \`$(inputs.${root})\`?` : "only `$(inputs.name)` can stand here",
    });
    return;
  }
  const axis = scope.axes.get(root);
  if (!axis) {
    const meant = similar(root, scope.axes.keys());
    const isInput = scope.inputs.names().includes(root);
    report.error("unknown-axis", `there is no axis \`${root}\``, range, {
      hint:
        meant === undefined && isInput
          ? `did you mean \`$(inputs.${root})\`?`
          : suggest(root, scope.axes.keys(), "the axes are"),
    });
    return;
  }
  if (noValueHas(axis, path)) {
    report.error("unknown-field", `no value of axis \`${root}\` has a field \`${path.join(".")}\``, range, {
      hint: suggest(path.join("."), fieldNames(axis), "its fields are"),
      related: [{ message: `axis \`${root}\` is declared here`, location: axis.range }, ...givenBy],
    });
  }
}

/**
 * A mention's path with the names that inputs hold, and where these are given; undefined where an input holds none,
 * which is then in the report.
 */
function settledPath(
  { path, range }: Mention,
  { inputs }: Scope,
  report: Report,
): { readonly path: readonly string[]; readonly givenBy: Related } | undefined {
  const givenBy: Related[number][] = [];
  const names = path.map((part) => {
    if (!part.startsWith("$(")) return part;
    const input = part.slice("$(inputs.".length, -1).split(".");
    inputs.check(input, range, report);
    const found = inputs.lookup(input, report);
    if (found?.kind === "scalar" && found.value !== null) {
      givenBy.push({ message: "the name is given here", location: found.range });
      return found.text;
    }
    if (found) {
      report.error("interpolation-type", `\`${part}\` is no name but ${describe(found)}`, range, {
        related: [{ message: "the value", location: found.range }],
      });
    }
    return undefined;
  });
  return names.includes(undefined) ? undefined : { path: names as string[], givenBy };
}

function noValueHas(axis: Axis, path: readonly string[]): boolean {
  return axis.labels.every((_, label) => axisValue(axis, label, path) === undefined);
}

function fieldNames(axis: Axis): string[] {
  const names = new Set(["label"]);
  for (const value of axis.values)
    if (value.kind === "map") for (const { key } of value.entries) names.add(key);
  return [...names];
}

/** The value of `$(axis)` or `$(axis.path)` at a label; undefined where the value lacks the field. */
function axisValue(axis: Axis, label: number, path: readonly string[]): Tree | undefined {
  const value = axis.values[label];
  if (value && path.length === 1 && path[0] === "label") {
    const text = axis.labels[label] ?? "";
    return { kind: "scalar", value: text, text, range: value.range };
  }
  return value && descend(value, path);
}

/** Follows a path of map keys. */
export function descend(tree: Tree, path: readonly string[]): Tree | undefined {
  let at: Tree | undefined = tree;
  for (const name of path) at = at?.kind === "map" ? entryOf(at, name)?.value : undefined;
  return at;
}

/**
 * A value with its interpolation carried out at a grid point. A `$(...)` alone in a scalar keeps its type and
 * brings its own place along; inside longer text it must be a scalar.
 *
 * Undefined where something is missing, which is then in the report; a value without interpolation is returned
 * as it is.
 */
export function resolve(tree: Tree, scope: Scope, labelOf: LabelOf, report: Report): Tree | undefined {
  if (tree.kind === "list") {
    const items = tree.items.map((item) => resolve(item, scope, labelOf, report));
    if (items.includes(undefined)) return undefined;
    return items.every((item, i) => item === tree.items[i]) ? tree : { ...tree, items: items as Tree[] };
  }
  if (tree.kind === "map") {
    const values = tree.entries.map(({ value }) => resolve(value, scope, labelOf, report));
    if (values.includes(undefined)) return undefined;
    if (values.every((value, i) => value === tree.entries[i]?.value)) return tree;
    return { ...tree, entries: tree.entries.map((entry, i) => ({ ...entry, value: values[i] as Tree })) };
  }
  const template = templateOf(tree);
  if (!template) return tree;
  const [only] = template.parts;
  if (template.problems.length > 0) return undefined;
  if (template.parts.length === 1 && only !== undefined && typeof only !== "string") {
    const value = valueOf(only, scope, labelOf, report);
    return value && { ...value, use: tree.use ?? only.range };
  }
  return join(tree, template, (mention) => valueOf(mention, scope, labelOf, report), report);
}

/** Letters of a text put together, at most: as much as a pipeline's whole file may have. */
const maxText = 1_000_000;

function join(
  tree: ScalarTree,
  { parts, left }: Template,
  value: (mention: Mention) => Tree | undefined,
  report: Report,
): ScalarTree | undefined {
  let text = "";
  let origin = tree.origin;
  let complete = true;
  for (const part of parts) {
    if (typeof part === "string") {
      text += part;
      continue;
    }
    const found = value(part);
    if (found && found.kind === "scalar" && found.value !== null) {
      // A path that begins with a value starts where that value was written.
      if (text === "") origin = found.origin ?? found.range.file;
      text += left ? escapeTemplate(found.text) : found.text;
      continue;
    }
    complete = false;
    if (!found) continue;
    report.error("interpolation-type", `${describe(found)} cannot be put inside text`, part.range, {
      hint: "only text, numbers and booleans can; name one of its fields",
      related: [{ message: "the value", location: found.range }],
    });
  }
  if (!complete) return undefined;
  if (text.length > maxText) {
    report.error(
      "interpolation-type",
      `this text has more than ${maxText.toLocaleString("en")} letters`,
      tree.range,
      {
        hint: "texts made of texts multiply: keep long ones in files of their own",
      },
    );
    return undefined;
  }
  return {
    kind: "scalar",
    value: text,
    text,
    range: tree.range,
    ...(origin && { origin }),
    ...(left && { isTemplate: true }),
  };
}

function valueOf(mention: Mention, scope: Scope, labelOf: LabelOf, report: Report): Tree | undefined {
  const { root, range } = mention;
  const path = settledPath(mention, scope, report)?.path;
  if (!path) return undefined;
  if (root === "inputs") return scope.inputs.lookup(path, report);
  const axis = scope.axes?.get(root);
  if (!axis) return undefined;
  const label = labelOf(axis.name);
  const found = axisValue(axis, label, path);
  if (found) return found;
  // `checkMentions` has said so once, for all labels.
  if (noValueHas(axis, path)) return undefined;
  const value = axis.values[label];
  const fields = value?.kind === "map" ? value.entries.map(({ key }) => key) : [];
  report.error(
    "unknown-field",
    `value ${quote(axis.labels[label] ?? "")} of axis \`${root}\` has no field \`${path.join(".")}\``,
    range,
    {
      hint:
        suggest(path.join("."), fields, "its fields are") ?? "it is no map: `$(axis)` is the value itself",
      related: value ? [{ message: "the value", location: value.range }] : undefined,
    },
  );
  return undefined;
}
