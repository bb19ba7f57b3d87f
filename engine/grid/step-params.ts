import type { JsonObject } from "../model/json.ts";
import type { SourceFile } from "../model/source.ts";
import { resolve } from "../load/interpolation.ts";
import type { LabelOf } from "../load/interpolation.ts";
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
  readonly baseOf: (file: SourceFile) => string;
  readonly report: Report;
}

/** The parameters of a node at a grid point, checked; what is wrong is in the report. */
export function stepParams(spec: NodeSpec, labelOf: LabelOf, context: StepParamsContext): StepParams {
  const { baseOf, report } = context;
  const { tree, missing } = mergedWith(spec, labelOf, report);
  const at = tree.use || spec.with ? tree.range : spec.range;
  const params = checkParams({ nodeType: spec.nodeType, tree, missing, baseOf, at, report });
  return { params, reads: params && spec.nodeType.reads?.(params as never) };
}

/**
 * Reports the required inputs that a node reads at these parameters and that are not bound, and what else the node
 * type has against the inputs that are.
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
  if (!params) return;
  const bound = Object.keys(spec.nodeType.inputs).filter(isBound);
  const problem = spec.nodeType.checkInputs?.(params as never, bound);
  if (problem !== undefined) {
    report.error("missing-input", `\`${spec.name}\` (${spec.nodeType.type}): ${problem}`, spec.range);
  }
}

/** A node's `with` as one map. */
interface Merged {
  readonly tree: MapTree;
  /** Parameters whose interpolation failed, or `all` where that of a whole map did; reported already. */
  readonly missing: ReadonlySet<string> | "all";
}

/** What can be resolved is, so that a mistake in one parameter does not hide those in others. */
function mergedWith(spec: NodeSpec, labelOf: LabelOf, report: Report): Merged {
  const { scope } = spec;
  const written = spec.with ?? { kind: "map", entries: [], range: spec.range };
  const merged = new Map<string, MapEntry>();
  const missing = new Set<string>();
  let all = false;
  const parts = written.kind === "list" ? written.items : [written];
  let use: MapTree["use"];
  let { range } = written;
  for (const part of parts) {
    // Entry by entry: a map is resolved as a whole only where interpolation brings it along.
    const resolved = part.kind === "map" ? part : resolve(part, scope, labelOf, report);
    const map = resolved && asMap(resolved, report);
    if (!map) all = true;
    if (map && written.kind !== "list") ({ use, range } = map);
    for (const entry of map?.entries ?? []) {
      const value = part === map ? resolve(entry.value, scope, labelOf, report) : entry.value;
      if (value) {
        const from = value.use ?? map?.use;
        merged.set(entry.key, from ? { ...entry, value: { ...value, use: from } } : { ...entry, value });
      } else missing.add(entry.key);
    }
  }
  const tree: MapTree = { kind: "map", entries: [...merged.values()], range, ...(use && { use }) };
  return { tree, missing: all ? "all" : missing };
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
