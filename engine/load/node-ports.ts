import { withPorts } from "../model/node-ports.ts";
import type { NodeType } from "../sdk.ts";
import { checkParams } from "../grid/params.ts";
import { axesIn, checkMentions, resolve } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import { checkName } from "./names.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import type { NodeSource } from "./structure.ts";
import { entryOf } from "./tree.ts";
import type { MapEntry, Tree } from "./tree.ts";

/**
 * A node's type with the ports that the node decides, where its type lets it; undefined where they cannot be known,
 * which is then in the report.
 */
export function nodeTypeOf(
  source: NodeSource,
  nodeType: NodeType,
  scope: Scope,
  report: Report,
): NodeType | undefined {
  if (!nodeType.ports) return nodeType;
  const { from } = nodeType.ports;
  const before = report.errors();
  for (const { key, keyRange } of source.inputs) checkName("an input", key, keyRange, report);
  const literal: Scope = { ...scope, axes: undefined, place: `what decides the ports of \`${source.name}\`` };
  const entries = from.flatMap((name) => {
    const entry = writtenParam(source.fields.get("with")?.value, name);
    if (!entry) return [];
    checkMentions(entry.value, literal, report);
    const value = resolve(entry.value, literal, () => 0, report);
    return value ? [{ ...entry, value }] : [];
  });
  if (report.errors() > before) return undefined;
  const range = source.fields.get("with")?.value.range ?? source.range;
  const params = checkParams({
    nodeType: { ...nodeType, params: nodeType.params.pick(maskOf(from)), check: () => undefined },
    tree: { kind: "map", entries, range },
    baseOf: () => "",
    at: range,
    report,
  });
  if (!params) return undefined;
  const inputs = source.inputs.map(({ key, value }) => [key, { many: takesMany(value, scope) }] as const);
  return withPorts(nodeType, { inputs: Object.fromEntries(inputs), params });
}

function maskOf(names: readonly string[]): Record<string, true> {
  return Object.fromEntries(names.map((name) => [name, true as const]));
}

/** A parameter where the node itself spells it out; of a list of maps, the last that does. */
function writtenParam(tree: Tree | undefined, name: string): MapEntry | undefined {
  if (tree?.kind === "map") return entryOf(tree, name);
  if (tree?.kind !== "list") return undefined;
  return tree.items.flatMap((item) => (item.kind === "map" ? (entryOf(item, name) ?? []) : [])).at(-1);
}

/** Whether a binding gathers or lists artifacts, as it is written or at any label of the axes that it mentions. */
function takesMany(tree: Tree, scope: Scope): boolean {
  if (tree.kind === "list") return true;
  if (tree.kind === "map") return entryOf(tree, "collect") !== undefined;
  const axes = axesIn([tree], scope);
  return axes.some((axis) =>
    axis.labels.some((_, label) => {
      const value = resolve(tree, scope, (name) => (name === axis.name ? label : 0), createReport());
      return value !== undefined && value.kind !== "scalar" && takesMany(value, scope);
    }),
  );
}
