import type { Scalar } from "../model/json.ts";
import type { SourceRange } from "../model/source.ts";
import { checkMentions, resolve } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import type { Inputs } from "./inputs.ts";
import { checkName } from "./names.ts";
import { qualified } from "./namespace.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import { describe, quote } from "./tree.ts";
import type { MapEntry, MapTree, ScalarTree, Tree } from "./tree.ts";

/** A named list of labelled values. */
export interface Axis {
  /** Qualified: `t10/gamma` in a pipeline that is imported as `t10`. */
  readonly name: string;
  readonly range: SourceRange;
  readonly labels: readonly string[];
  /** Number of labels that `axes:` declares; those after them exist only at the points that `grid.include` adds. */
  readonly declared: number;
  /** Labels that it had before a profile or an importer replaced it. */
  readonly former: ReadonlySet<string>;
  /** Its values are their own labels. */
  readonly isList: boolean;
  /** The axes that it advances together with. */
  readonly zip: Zip | undefined;
  /** The value of each label. */
  readonly values: readonly Tree[];
  readonly indexOf: ReadonlyMap<string, number>;
  /** For each label, the scalar fields of its value as coordinates: `terms.useMse`. */
  readonly fields: readonly (readonly (readonly [name: string, value: Scalar])[])[];
}

/** Axes that advance together. */
export interface Zip {
  readonly axes: readonly Axis[];
  /** Labels of the axes, row by row: first those that `axes:` gives, then what `grid.include` adds. */
  readonly rows: readonly (readonly number[])[];
  /** Number of rows that `axes:` gives. */
  readonly declared: number;
}

/** An axis while the pipeline's grid is being read, which may still change it. */
export interface OpenAxis extends Axis {
  readonly labels: string[];
  readonly values: Tree[];
  readonly indexOf: Map<string, number>;
  readonly fields: (readonly (readonly [name: string, value: Scalar])[])[];
  zip: OpenZip | undefined;
}

export interface OpenZip extends Zip {
  readonly axes: readonly OpenAxis[];
  readonly rows: (readonly number[])[];
}

/** Where a pipeline's axes are declared. */
export interface AxesSource {
  readonly namespace: string;
  readonly axes: MapTree | undefined;
  readonly formerAxes: readonly MapEntry[];
}

/** The axes that `axes:` declares, in order; an axis that is wrong is in the report and left out. */
export function readAxes(
  { axes: tree, formerAxes, namespace }: AxesSource,
  inputs: Inputs,
  report: Report,
): ReadonlyMap<string, OpenAxis> {
  const axes = new Map<string, OpenAxis>();
  const scope = { inputs, axes: undefined, place: "an axis" };
  for (const { key, keyRange, value } of tree?.entries ?? []) {
    if (!checkName("an axis", key, keyRange, report)) continue;
    if (key === "inputs") {
      report.error("invalid-name", "an axis cannot be called `inputs`", keyRange, {
        hint: "`$(inputs.name)` is a value from `inputs:`",
      });
      continue;
    }
    checkMentions(value, scope, report);
    const resolved = resolve(value, scope, () => 0, report);
    const values = resolved && readValues(key, keyRange, resolved, report);
    if (!values) continue;
    const former = formerAxes.filter((entry) => entry.key === key);
    axes.set(key, {
      ...openAxis(qualified(namespace, key), keyRange, values, resolved.kind === "list"),
      former: new Set(former.flatMap((entry) => labelsOf(entry.value, scope))),
    });
  }
  return axes;
}

/** Labels of an axis that is not in use, as far as they can be made out. */
function labelsOf(tree: Tree, scope: Scope): readonly string[] {
  const resolved = resolve(tree, scope, () => 0, createReport());
  if (resolved?.kind === "map") return resolved.entries.map(({ key }) => key);
  return resolved?.kind === "list"
    ? resolved.items.flatMap((item) => (item.kind === "scalar" ? item.text : []))
    : [];
}

function openAxis(
  name: string,
  range: SourceRange,
  values: readonly LabelledValue[],
  isList: boolean,
): Omit<OpenAxis, "former"> {
  return {
    name,
    range,
    isList,
    zip: undefined,
    declared: values.length,
    labels: values.map(({ label }) => label),
    values: values.map(({ value }) => value),
    indexOf: new Map(values.map(({ label }, i) => [label, i])),
    fields: values.map(({ value }) => (value.kind === "map" ? scalarFields(name, value) : [])),
  };
}

/** Adds a value to a list axis; its index. */
export function addValue(axis: OpenAxis, value: ScalarTree): number {
  axis.indexOf.set(value.text, axis.labels.length);
  axis.values.push(value);
  axis.fields.push([]);
  return axis.labels.push(value.text) - 1;
}

interface LabelledValue {
  readonly label: string;
  readonly value: Tree;
}

/** The values of an axis with their labels, all of which differ and are sound. */
function readValues(
  name: string,
  range: SourceRange,
  tree: Tree,
  report: Report,
): readonly LabelledValue[] | undefined {
  const labelled = labelledValues(name, tree, report);
  if (!labelled) return undefined;
  if (labelled.length === 0) {
    report.error("wrong-type", `axis \`${name}\` has no values`, tree.use ?? range, {
      hint: "list at least one value",
    });
    return undefined;
  }
  const first = new Map<string, SourceRange>();
  const kept: LabelledValue[] = [];
  for (const { label, at, value } of labelled) {
    const earlier = first.get(label);
    if (earlier) {
      report.error("duplicate-label", `axis \`${name}\` has the label \`${label}\` twice`, at, {
        hint: "two equal points would be one step: remove or rename one",
        related: [{ message: "the first one", location: earlier }],
      });
      continue;
    }
    if (!checkLabel(name, label, at, report)) continue;
    if (value.kind === "map" && value.entries.some(({ key }) => key === "label")) {
      report.error("invalid-name", `a value of axis \`${name}\` has a field \`label\``, at, {
        hint: `\`$(${name}.label)\` is the label of the value: rename the field`,
      });
      continue;
    }
    first.set(label, at);
    kept.push({ label, value });
  }
  return kept;
}

/** Reports a text that cannot be a label. */
export function checkLabel(axis: string, label: string, at: SourceRange, report: Report): boolean {
  if (/^[A-Za-z0-9._+%-]+$/.test(label)) return true;
  report.error("invalid-label", `${quote(label)} cannot be a label of axis \`${axis}\``, at, {
    hint: `labels are letters, digits and \`. _ + % -\`; name the value: \`${axis}: { label: ${quote(label)} }\``,
  });
  return false;
}

function labelledValues(
  name: string,
  tree: Tree,
  report: Report,
): { label: string; at: SourceRange; value: Tree }[] | undefined {
  if (tree.kind === "map") {
    return tree.entries.map(({ key, keyRange, value }) => ({ label: key, at: keyRange, value }));
  }
  if (tree.kind === "list") {
    const labelled = [];
    for (const value of tree.items) {
      if (value.kind === "scalar") labelled.push({ label: value.text, at: value.range, value });
      else {
        report.error(
          "wrong-type",
          `${describe(value)} in the list of axis \`${name}\` has no label`,
          value.range,
          {
            hint: `give each value a label: \`${name}: { first: ..., second: ... }\``,
          },
        );
      }
    }
    return labelled.length < tree.items.length ? undefined : labelled;
  }
  report.error("wrong-type", `axis \`${name}\` is ${describe(tree)}`, tree.range, {
    hint: "an axis is a list of values, or a map of labels to values",
  });
  return undefined;
}

function scalarFields(prefix: string, map: MapTree): (readonly [string, Scalar])[] {
  return map.entries.flatMap(({ key, value }): (readonly [string, Scalar])[] => {
    const name = `${prefix}.${key}`;
    if (value.kind === "scalar") return [[name, value.value]];
    return value.kind === "map" ? scalarFields(name, value) : [];
  });
}
