import type { JsonObject } from "../model/json.ts";
import type { SourceFile, SourceRange } from "../model/source.ts";
import type { NodeType, ParamMeta } from "../sdk.ts";
import type { Report } from "../load/report.ts";
import type { MapTree } from "../load/tree.ts";
import { reportIssue } from "./param-issues.ts";
import { prepareParams } from "./param-values.ts";
import { unwrap } from "./schema.ts";

const metas = new WeakMap<NodeType, ReadonlyMap<string, ParamMeta>>();

/**
 * What the `.meta()` of each top-level parameter says, empty where it says nothing: description, unit, and
 * whether it is ephemeral, a path, a secret, or neutral at some value.
 */
export function paramMeta(nodeType: NodeType): ReadonlyMap<string, ParamMeta> {
  let found = metas.get(nodeType);
  if (!found) {
    found = new Map(
      Object.entries(nodeType.params.shape).map(([name, schema]) => [name, unwrap(schema).meta]),
    );
    metas.set(nodeType, found);
  }
  return found;
}

/** What is needed to check the parameters of a step. */
export interface ParamCheck {
  readonly nodeType: NodeType;
  /** The node's `with` after interpolation and merging. */
  readonly tree: MapTree;
  /** Parameters that are not in `tree` because of a mistake that is reported: they count as wrong, not as absent. */
  readonly missing?: ReadonlySet<string> | "all";
  /** Folder that relative paths written in a file start from. */
  readonly baseOf: (file: SourceFile) => string;
  /** Where a missing parameter is reported, if `tree` was not written anywhere. */
  readonly at: SourceRange;
  readonly report: Report;
}

/**
 * A step's parameters: quantities read by their unit, paths absolute, checked by the node type's schema and its
 * `check`, defaults filled in. Undefined where something is wrong, which is then in the report.
 */
export function checkParams(options: ParamCheck): JsonObject | undefined {
  const { missing = new Set(), nodeType, report, tree } = options;
  const isMissing = (path: readonly PropertyKey[]): boolean =>
    missing === "all" ? !tree.entries.some(({ key }) => key === path[0]) : missing.has(String(path[0]));
  const before = report.errors();
  const prepared = prepareParams(options);
  const parsed = nodeType.params.safeParse(prepared.value);
  for (const issue of parsed.error?.issues ?? []) {
    // What could not even be read as the schema expects has been reported, and better.
    if (!prepared.failed(issue.path) && !isMissing(issue.path)) reportIssue(issue, options);
  }
  if (!parsed.success || report.errors() > before || missing === "all" || missing.size > 0) return undefined;
  const problem = nodeType.check?.(parsed.data as never);
  if (problem !== undefined) {
    report.error("param-value", `${nodeType.type}: ${problem}`, tree.use ?? tree.range);
    return undefined;
  }
  return parsed.data as JsonObject;
}
