import type { Scalar } from "../model/json.ts";
import type { SourceRange } from "../model/source.ts";
import { checkMentions, resolve } from "./interpolation.ts";
import type { Inputs } from "./inputs.ts";
import { checkName } from "./names.ts";
import type { Report } from "./report.ts";
import { describe, quote } from "./tree.ts";
import type { MapTree, Tree } from "./tree.ts";

/** A named list of labelled values. */
export interface Axis {
  readonly name: string;
  readonly range: SourceRange;
  readonly labels: readonly string[];
  /** The value of each label. */
  readonly values: readonly Tree[];
  readonly indexOf: ReadonlyMap<string, number>;
  /** For each label, the scalar fields of its value as coordinates: `terms.useMse`. */
  readonly fields: readonly (readonly (readonly [name: string, value: Scalar])[])[];
}

/** The axes that `axes:` declares, in order; an axis that is wrong is in the report and left out. */
export function readAxes(
  tree: MapTree | undefined,
  inputs: Inputs,
  report: Report,
): ReadonlyMap<string, Axis> {
  const axes = new Map<string, Axis>();
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
    const axis = resolved && readAxis(key, keyRange, resolved, report);
    if (axis) axes.set(key, axis);
  }
  return axes;
}

function readAxis(name: string, range: SourceRange, tree: Tree, report: Report): Axis | undefined {
  const labelled = labelledValues(name, tree, report);
  if (!labelled) return undefined;
  if (labelled.length === 0) {
    report.error("wrong-type", `axis \`${name}\` has no values`, tree.use ?? range, {
      hint: "list at least one value",
    });
    return undefined;
  }
  const first = new Map<string, SourceRange>();
  const indexOf = new Map<string, number>();
  const kept: { label: string; value: Tree }[] = [];
  for (const { label, at, value } of labelled) {
    const earlier = first.get(label);
    if (earlier) {
      report.error("duplicate-label", `axis \`${name}\` has the label \`${label}\` twice`, at, {
        hint: "two equal points would be one step: remove or rename one",
        related: [{ message: "the first one", location: earlier }],
      });
      continue;
    }
    if (!/^[A-Za-z0-9._+%-]+$/.test(label)) {
      report.error("invalid-label", `${quote(label)} cannot be a label of axis \`${name}\``, at, {
        hint: `labels are letters, digits and \`. _ + % -\`; name the value: \`${name}: { label: ${quote(label)} }\``,
      });
      continue;
    }
    if (value.kind === "map" && value.entries.some(({ key }) => key === "label")) {
      report.error("invalid-name", `a value of axis \`${name}\` has a field \`label\``, at, {
        hint: `\`$(${name}.label)\` is the label of the value: rename the field`,
      });
      continue;
    }
    first.set(label, at);
    indexOf.set(label, kept.length);
    kept.push({ label, value });
  }
  return {
    name,
    range,
    indexOf,
    labels: kept.map(({ label }) => label),
    values: kept.map(({ value }) => value),
    fields: kept.map(({ value }) => (value.kind === "map" ? scalarFields(name, value) : [])),
  };
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
