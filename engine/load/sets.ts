import type { SourceFile, SourceRange } from "../model/source.ts";
import { descend } from "./interpolation.ts";
import { qualified, splitName } from "./namespace.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import { suggest } from "./similar.ts";
import { entryOf, quote } from "./tree.ts";
import type { MapTree, Tree } from "./tree.ts";
import { parseYaml } from "./yaml.ts";

/** The inputs of every pipeline by its namespace. */
export type InputTrees = ReadonlyMap<string, MapTree | undefined>;

/** What a `--set` replaces, and with what. */
export interface Setting {
  readonly namespace: string;
  /** Path of the input in `inputs:`. */
  readonly path: readonly string[];
  readonly value: Tree;
  /** Where the name is written. */
  readonly range: SourceRange;
}

/**
 * Reads `--set inputs.name=value`, or `--set t10/inputs.name=value` for an imported pipeline: the value is YAML, and
 * paths in it start from the working directory. What is no setting is in the report.
 */
export function readSets(sets: readonly string[], trees: InputTrees, report: Report): readonly Setting[] {
  return sets.flatMap((text): Setting[] => {
    const file: SourceFile = { path: "--set", text };
    const equals = text.indexOf("=");
    const name = text.slice(0, Math.max(equals, 0)).trim();
    if (equals < 0 || name === "") {
      report.error(
        "bad-set",
        `${quote(text)} is no setting`,
        { file, start: 0, end: text.length },
        {
          hint: "write `--set inputs.name=value`",
        },
      );
      return [];
    }
    const range = { file, start: 0, end: name.length };
    const { namespace, rest } = splitName(name);
    const [root, ...path] = rest.split(".");
    if (root !== "inputs" || path.length === 0 || !trees.has(namespace)) {
      report.error("bad-set", wrongSetting(namespace, trees), range, {
        hint: meantSetting(text, trees) ?? "write `--set inputs.name=value`",
      });
      return [];
    }
    const value = settingValue(file, equals + 1, report);
    return value ? [{ namespace, path, value, range }] : [];
  });
}

/** Inputs after settings; one that is not there is reported. */
export function applySets(
  tree: MapTree | undefined,
  settings: readonly Setting[],
  report: Report,
): MapTree | undefined {
  let result = tree;
  for (const { path, range, value } of settings) {
    const changed = result && replace(result, path, value);
    if (changed) {
      result = changed;
      continue;
    }
    const parent = result && descend(result, path.slice(0, -1));
    const names = parent?.kind === "map" ? parent.entries.map(({ key }) => key) : [];
    report.error("unknown-input", `there is no input \`${path.join(".")}\` to set`, range, {
      hint:
        suggest(path.at(-1) ?? "", names, "the inputs are") ?? "declare it under `inputs:` in the pipeline",
    });
  }
  return result;
}

function wrongSetting(namespace: string, trees: InputTrees): string {
  return trees.has(namespace) ? "only inputs can be set" : `no pipeline is imported as \`${namespace}\``;
}

/** What a setting that names no input was probably meant to be. */
function meantSetting(text: string, trees: InputTrees): string | undefined {
  const { namespace, rest } = splitName(text.slice(0, text.indexOf("=")).trim());
  const names = rest.split(".");
  const value = text.slice(text.indexOf("="));
  const meant = (to: string): string => `did you mean \`--set ${to}${value}\`?`;
  if (!trees.has(namespace)) {
    const known = [...trees.keys()].filter((name) => name !== "");
    return suggest(namespace, known, "the imported pipelines are") ?? "it imports no pipelines";
  }
  const tree = trees.get(namespace);
  if (tree && descend(tree, names)) return meant(qualified(namespace, `inputs.${names.join(".")}`));
  const below = qualified(namespace, names[0] ?? "");
  return trees.has(below) && names[1] === "inputs"
    ? meant(`${below}/${names.slice(1).join(".")}`)
    : undefined;
}

function settingValue(file: SourceFile, start: number, report: Report): Tree | undefined {
  // Blanks keep the offsets: the value then points into the setting as the user wrote it.
  const padded = { path: file.path, text: " ".repeat(start) + file.text.slice(start) };
  const problems = createReport();
  const parsed = parseYaml(padded, 1000, problems);
  for (const { message, location, hint } of problems.all()) {
    report.error("bad-set", `the value is no YAML: ${message}`, location && { ...location, file }, { hint });
  }
  return parsed && problems.errors() === 0 ? moved(parsed.tree, file) : undefined;
}

function moved(tree: Tree, file: SourceFile): Tree {
  const range = { ...tree.range, file };
  if (tree.kind === "scalar") return { ...tree, range };
  if (tree.kind === "list") return { ...tree, range, items: tree.items.map((item) => moved(item, file)) };
  return {
    ...tree,
    range,
    entries: tree.entries.map(({ key, keyRange, value }) => ({
      key,
      keyRange: { ...keyRange, file },
      value: moved(value, file),
    })),
  };
}

function replace(tree: MapTree, path: readonly string[], value: Tree): MapTree | undefined {
  const [name, ...rest] = path;
  const entry = name === undefined ? undefined : entryOf(tree, name);
  if (!entry) return undefined;
  let inner: Tree | undefined = value;
  if (rest.length > 0) inner = entry.value.kind === "map" ? replace(entry.value, rest, value) : undefined;
  if (!inner) return undefined;
  const changed = inner;
  return { ...tree, entries: tree.entries.map((old) => (old === entry ? { ...old, value: changed } : old)) };
}
