import type { SourceFile, SourceRange } from "../model/source.ts";
import { readImports } from "./import-list.ts";
import type { ImportSource } from "./import-list.ts";
import { checkName } from "./names.ts";
import { readPlugins } from "./plugin-list.ts";
import type { PluginEntry } from "./plugin-list.ts";
import type { Report } from "./report.ts";
import { suggest } from "./similar.ts";
import { describe, isNull } from "./tree.ts";
import type { MapEntry, MapTree, Tree } from "./tree.ts";

/** The outline of one file: fields of the right shape, their content not checked yet. */
export interface FileSource {
  readonly file: SourceFile;
  /** Where the file's map begins, for what is missing in it. */
  readonly start: SourceRange;
  readonly fields: Fields;
  readonly imports: readonly ImportSource[];
  readonly plugins: readonly PluginEntry[];
  readonly inputs: MapTree | undefined;
  readonly profiles: MapTree | undefined;
  readonly axes: MapTree | undefined;
  readonly grid: Fields;
  readonly nodes: readonly NodeSource[];
}

export interface NodeSource {
  readonly name: string;
  readonly range: SourceRange;
  readonly fields: Fields;
  readonly inputs: readonly MapEntry[];
}

/** Fields of a map by name; a field without a value counts as absent. */
export type Fields = ReadonlyMap<string, MapEntry>;

/** The fields of a pipeline, in the order in which the reference lists them. */
export const pipelineFields = [
  "name",
  "description",
  "seed",
  "executor",
  "slurm",
  "imports",
  "plugins",
  "inputs",
  "profiles",
  "axes",
  "grid",
  "nodes",
] as const;

/** The fields of `grid`, in the order in which they are carried out. */
export const gridFields = ["zip", "exclude", "include"] as const;

/** The fields of a node, in the order in which the reference lists them. */
export const nodeFields = [
  "type",
  "description",
  "in",
  "with",
  "only",
  "except",
  "optional",
  "resources",
  "retries",
  "timeout",
  "executor",
  "slurm",
  "seed",
  "cache",
  "shards",
] as const;

/** Reads the outline of a file; what is out of place is in the report, and reading goes on. */
export function readStructure(file: SourceFile, tree: Tree, report: Report): FileSource | undefined {
  if (tree.kind !== "map") {
    report.error(
      "wrong-type",
      isNull(tree) ? "the file is empty" : `the file holds ${describe(tree)}`,
      tree.range,
      {
        hint: "a pipeline is a map with `name:` and `nodes:`; `ranflow init` writes one to start from",
      },
    );
    return undefined;
  }
  const fields = readFields(tree, "a pipeline", pipelineFields, report);
  const grid = mapField(fields, "grid", report);
  return {
    file,
    start: tree.entries[0]?.keyRange ?? { file, start: tree.range.start, end: tree.range.start },
    fields,
    imports: readImports(fields.get("imports")?.value, report),
    plugins: readPlugins(fields.get("plugins")?.value, report),
    inputs: mapField(fields, "inputs", report),
    profiles: mapField(fields, "profiles", report),
    axes: mapField(fields, "axes", report),
    grid: grid ? readFields(grid, "`grid`", gridFields, report) : new Map(),
    nodes: (mapField(fields, "nodes", report)?.entries ?? []).flatMap(
      (entry) => readNode(entry, report) ?? [],
    ),
  };
}

function readNode({ key, keyRange, value }: MapEntry, report: Report): NodeSource | undefined {
  const named = checkName("a node", key, keyRange, report);
  if (value.kind !== "map") {
    const what = isNull(value) ? `node \`${key}\` is empty` : `node \`${key}\` is ${describe(value)}`;
    report.error("wrong-type", what, isNull(value) ? keyRange : value.range, {
      hint: "a node is a map with at least `type:`",
    });
    return undefined;
  }
  const fields = readFields(value, "a node", nodeFields, report);
  if (!fields.has("type")) {
    report.error("missing-field", `node \`${key}\` has no \`type\``, keyRange, {
      hint: "`ranflow nodes` shows the node types",
    });
  }
  if (!named) return undefined;
  return { name: key, range: keyRange, fields, inputs: mapField(fields, "in", report)?.entries ?? [] };
}

/** The fields of a map; unknown ones are reported. */
export function readFields(map: MapTree, what: string, known: readonly string[], report: Report): Fields {
  const fields = new Map<string, MapEntry>();
  for (const entry of map.entries) {
    const { key, keyRange, value } = entry;
    if (known.includes(key)) {
      if (!isNull(value)) fields.set(key, entry);
    } else {
      report.error("unknown-field", `${what} has no field \`${key}\``, keyRange, {
        hint: suggest(key, known, "its fields are"),
      });
    }
  }
  return fields;
}

function mapField(fields: Fields, name: string, report: Report): MapTree | undefined {
  const value = fields.get(name)?.value;
  if (!value || value.kind === "map") return value;
  report.error("wrong-type", `\`${name}\` is ${describe(value)}`, value.range, { hint: "it is a map" });
  return undefined;
}
