import type { JsonObject } from "../model/json.ts";
import type { SourceFile } from "../model/source.ts";
import { resolve } from "../load/interpolation.ts";
import type { LabelOf, Scope } from "../load/interpolation.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";
import { describe, isNull } from "../load/tree.ts";
import type { MapEntry, MapTree, Tree } from "../load/tree.ts";
import { checkParams } from "./params.ts";

/** What all steps of a node have in common that agree on the axes mentioned in `with`. */
export interface StepParams {
  /** Undefined where something is wrong with them. */
  readonly params: JsonObject | undefined;
  /** Inputs that are read at these parameters; undefined for all that are bound. */
  readonly reads: readonly string[] | undefined;
}

export interface StepParamsContext {
  readonly scope: Scope;
  readonly baseOf: (file: SourceFile) => string;
  readonly report: Report;
}

/** The parameters of a node at a grid point, checked; what is wrong is in the report. */
export function stepParams(spec: NodeSpec, labelOf: LabelOf, context: StepParamsContext): StepParams {
  const { scope, baseOf, report } = context;
  const tree = mergedWith(spec, labelOf, scope, report);
  const at = tree && (tree.use || spec.with ? tree.range : spec.range);
  const params = tree && at && checkParams({ nodeType: spec.nodeType, tree, baseOf, at, report });
  return { params, reads: params && spec.nodeType.reads?.(params as never) };
}

/**
 * Reports the required inputs that a node reads at these parameters and that are not bound.
 *
 * @param isBound says whether the input of a name is bound
 */
export function checkRequired(
  spec: NodeSpec,
  { params, reads }: StepParams,
  isBound: (input: string) => boolean,
  report: Report,
): void {
  // Which inputs wrong parameters would have read is anybody's guess.
  if (!params && spec.nodeType.reads) return;
  for (const [input, { optional, type }] of Object.entries(spec.nodeType.inputs)) {
    if (optional || isBound(input) || (reads && !reads.includes(input))) continue;
    report.error(
      "missing-input",
      `\`${spec.name}\` (${spec.nodeType.type}) needs the input \`${input}\` (${type})`,
      spec.range,
      {
        hint: `bind it: \`in: { ${input}: node.port }\``,
      },
    );
  }
}

function mergedWith(spec: NodeSpec, labelOf: LabelOf, scope: Scope, report: Report): MapTree | undefined {
  if (!spec.with) return { kind: "map", entries: [], range: spec.range };
  const resolved = resolve(spec.with, scope, labelOf, report);
  if (!resolved) return undefined;
  if (resolved.kind !== "list") return asMap(resolved, report);
  const maps = resolved.items.map((item) => asMap(item, report));
  if (maps.includes(undefined)) return undefined;
  const merged = new Map<string, MapEntry>();
  for (const map of maps) {
    for (const entry of map?.entries ?? []) {
      const use = entry.value.use ?? map?.use;
      merged.set(entry.key, use ? { ...entry, value: { ...entry.value, use } } : entry);
    }
  }
  return { kind: "map", entries: [...merged.values()], range: resolved.range };
}

function asMap(tree: Tree, report: Report): MapTree | undefined {
  if (tree.kind === "map") return tree;
  if (isNull(tree))
    return { kind: "map", entries: [], range: tree.range, ...(tree.use && { use: tree.use }) };
  const hint = "`with` is a map of parameters, an interpolated map, or a list of these";
  if (tree.use) {
    report.error(
      "interpolation-type",
      `\`with\` needs a map here, and this is ${describe(tree)}`,
      tree.range,
      {
        hint,
        related: [{ message: "used here", location: tree.use }],
      },
    );
  } else report.error("wrong-type", `\`with\` is ${describe(tree)}`, tree.range, { hint });
  return undefined;
}
