import type { SourceRange } from "../model/source.ts";
import { checkMentions, resolve } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import type { Related, Report } from "./report.ts";
import { suggest } from "./similar.ts";
import { entryOf } from "./tree.ts";
import type { MapEntry, MapTree, Tree } from "./tree.ts";

/** The pipeline's inputs after `--set`. Inputs may mention other inputs. */
export interface Inputs {
  /** The input at a path, its own interpolation carried out; undefined where there is none. */
  lookup(path: readonly string[], report: Report): Tree | undefined;
  /**
   * Reports a mention of an input that does not exist.
   *
   * @param givenBy where names of the path are given that the mention itself does not write
   */
  check(path: readonly string[], range: SourceRange, report: Report, givenBy?: Related): void;
  names(): readonly string[];
  /** Top-level inputs that nothing has looked up so far. */
  unused(): readonly { readonly name: string; readonly range: SourceRange }[];
}

/** Makes the inputs from the pipeline's `inputs:`. */
export function createInputs(tree: MapTree | undefined): Inputs {
  const settled = new Map<Tree, Tree | undefined>();
  const settling = new Set<Tree>();
  const used = new Set<string>();

  const settle = (value: Tree, report: Report): Tree | undefined => {
    if (settled.has(value)) return settled.get(value);
    if (settling.has(value)) {
      report.error("cycle", "this input is made from itself", value.range, {
        hint: "give one of the inputs a value of its own",
      });
      return undefined;
    }
    settling.add(value);
    const result = resolve(value, scope, noAxes, report);
    settling.delete(value);
    settled.set(value, result);
    return result;
  };

  /** The value at a path, or `unsettled` where one on the way has none, which is then in the report. */
  const find = (path: readonly string[], report: Report): Tree | "unsettled" | undefined => {
    let at: Tree | undefined = tree;
    for (const name of path) {
      // Maps are left unsettled on the way down, so that an input may mention its neighbour.
      if (at?.kind === "scalar") {
        at = settle(at, report);
        if (!at) return "unsettled";
      }
      at = at?.kind === "map" ? entryOf(at, name)?.value : undefined;
    }
    return at;
  };

  const inputs: Inputs = {
    lookup(path, report) {
      if (path[0] !== undefined) used.add(path[0]);
      const found = path.length === 0 ? undefined : find(path, report);
      return found === "unsettled" ? undefined : found && settle(found, report);
    },
    check(path, range, report, givenBy) {
      if (path.length === 0) {
        report.error("unknown-input", "`$(inputs)` names no input", range, {
          hint: "write `$(inputs.name)`",
        });
        return;
      }
      if (path[0] !== undefined) used.add(path[0]);
      if (find(path, report)) return;
      const parent = path.length === 1 ? tree : find(path.slice(0, -1), report);
      const names =
        typeof parent === "object" && parent.kind === "map" ? parent.entries.map(({ key }) => key) : [];
      report.error("unknown-input", `there is no input \`${path.join(".")}\``, range, {
        hint: suggest(path.at(-1) ?? "", names, "the inputs are") ?? "declare it under `inputs:`",
        related: givenBy,
      });
    },
    names: () => tree?.entries.map(({ key }) => key) ?? [],
    unused: () =>
      (tree?.entries ?? [])
        .filter(({ key }) => !used.has(key))
        .map(({ key, keyRange }) => ({ name: key, range: keyRange })),
  };
  const scope: Scope = { inputs, axes: undefined, place: "an input" };
  return inputs;
}

const noAxes = (): number => 0;

/**
 * Checks every input by itself, so that a mistake in one that is never mentioned is found as well.
 *
 * @param maxValues how many values an input may stand for, written out
 * @returns false where one stands for more, so that nothing may look at it whole
 */
export function checkInputs(
  inputs: Inputs,
  tree: MapTree | undefined,
  report: Report,
  maxValues = Infinity,
): boolean {
  const scope: Scope = { inputs, axes: undefined, place: "an input" };
  const sizes = new Map<object, number>();
  let small = true;
  for (const { key, value } of tree?.entries ?? []) {
    checkMentions(value, scope, report);
    const resolved = resolve(value, scope, noAxes, report);
    // Those made of one that is too large are so as well.
    if (!small || !resolved || writtenOut(resolved, sizes) <= maxValues) continue;
    small = false;
    const many = maxValues.toLocaleString("en");
    report.error(
      "too-many-aliases",
      `written out, the input \`${key}\` stands for more than ${many} values`,
      value.range,
      { hint: "inputs made of inputs multiply: keep large data in files of their own" },
    );
  }
  return small;
}

/** Number of values in a tree whose parts may be shared; `sizes` knows those of lists and maps seen before. */
function writtenOut(tree: Tree, sizes: Map<object, number>): number {
  if (tree.kind === "scalar") return 1;
  // Interpolation copies the tree and shares what it holds.
  const held = tree.kind === "list" ? tree.items : tree.entries;
  const known = sizes.get(held);
  if (known !== undefined) return known;
  const values = tree.kind === "list" ? tree.items : tree.entries.map(({ value }) => value);
  const size = values.reduce((sum, value) => sum + writtenOut(value, sizes), 1);
  sizes.set(held, size);
  return size;
}

/**
 * Inputs with some of their values replaced, map by map; what replaces an input that is not there is reported.
 */
export function replaceInputs(
  tree: MapTree | undefined,
  values: MapTree,
  report: Report,
  path: readonly string[] = [],
): MapTree | undefined {
  const replaced = new Map<MapEntry, Tree>();
  for (const { key, keyRange, value } of values.entries) {
    const entry = tree && entryOf(tree, key);
    if (!entry) {
      const names = tree?.entries.map((known) => known.key) ?? [];
      report.error(
        "unknown-input",
        `there is no input \`${[...path, key].join(".")}\` to replace`,
        keyRange,
        {
          hint: suggest(key, names, "the inputs are") ?? "declare it under `inputs:` in the pipeline",
        },
      );
      continue;
    }
    const isNested = entry.value.kind === "map" && entry.value.entries.length > 0 && value.kind === "map";
    const inner = isNested ? replaceInputs(entry.value, value, report, [...path, key]) : value;
    if (inner) replaced.set(entry, inner);
  }
  if (!tree || replaced.size === 0) return tree;
  const entries = tree.entries.map((entry) => ({ ...entry, value: replaced.get(entry) ?? entry.value }));
  return { ...tree, entries };
}
