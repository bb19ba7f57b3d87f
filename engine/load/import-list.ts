import type { SourceRange } from "../model/source.ts";
import { checkName } from "./names.ts";
import type { Report } from "./report.ts";
import { suggest } from "./similar.ts";
import { describe, entryOf, isNull } from "./tree.ts";
import type { MapEntry, Tree } from "./tree.ts";

/** An entry of `imports`. */
export interface ImportSource {
  /** Name of the namespace; absent for a fragment, which is merged into the file's own pipeline. */
  readonly namespace?: string;
  readonly path: string;
  /** Where the path is written. */
  readonly range: SourceRange;
  /** Values for the inputs of a pipeline under a namespace, interpolation not carried out. */
  readonly inputs?: Tree;
}

const forms =
  "list the files of fragments, `imports: [data.yaml]`, or name whole pipelines, `imports: { t10: table-10.yaml }`";

/** Reads `imports`: a list of fragments, a map of namespaces, or a list of both. */
export function readImports(tree: Tree | undefined, report: Report): ImportSource[] {
  if (!tree) return [];
  if (tree.kind === "map") return tree.entries.flatMap((entry) => readNamespace(entry, report) ?? []);
  if (tree.kind === "scalar") {
    report.error("wrong-type", `\`imports\` is ${describe(tree)}`, tree.range, { hint: forms });
    return [];
  }
  return tree.items.flatMap((item) => {
    if (item.kind === "map") return item.entries.flatMap((entry) => readNamespace(entry, report) ?? []);
    return readPath(item, report) ?? [];
  });
}

function readNamespace({ key, keyRange, value }: MapEntry, report: Report): ImportSource | undefined {
  if (!checkName("a namespace", key, keyRange, report)) return undefined;
  if (value.kind !== "map") {
    const path = readPath(value, report);
    return path && { ...path, namespace: key };
  }
  for (const { key: field, keyRange: place } of value.entries) {
    if (["file", "inputs"].includes(field)) continue;
    report.error("unknown-field", `an import has no field \`${field}\``, place, {
      hint: suggest(field, ["file", "inputs"], "its fields are"),
    });
  }
  const file = entryOf(value, "file");
  if (!file) {
    report.error("missing-field", `the import \`${key}\` has no \`file\``, keyRange, {
      hint: `name the pipeline's file: \`${key}: { file: pipeline.yaml }\``,
    });
    return undefined;
  }
  const path = readPath(file.value, report);
  const inputs = entryOf(value, "inputs")?.value;
  return path && { ...path, namespace: key, ...(inputs && !isNull(inputs) && { inputs }) };
}

function readPath(tree: Tree, report: Report): ImportSource | undefined {
  if (tree.kind !== "scalar" || typeof tree.value !== "string" || tree.value.trim() === "") {
    report.error("wrong-type", `${describe(tree)} is no file to import`, tree.range, { hint: forms });
    return undefined;
  }
  if (tree.value.includes("$(")) {
    // What a pipeline consists of is known before its inputs are.
    report.error("interpolation-type", "the path of an import cannot mention anything", tree.range, {
      hint: "write the path itself; it starts from the folder of this file",
    });
    return undefined;
  }
  return { path: tree.value, range: tree.range };
}
