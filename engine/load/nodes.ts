import type { SourceRange } from "../model/source.ts";
import type { NodeType, Port } from "../sdk.ts";
import { readBindingSources } from "./bindings.ts";
import type { BindingSource, NodeNames } from "./bindings.ts";
import { axesMentioned, checkMentions, resolve } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import { mentionsOf } from "./mentions.ts";
import { qualified } from "./namespace.ts";
import { nodeTypeOf } from "./node-ports.ts";
import type { PipelineLibrary } from "./plugins.ts";
import { readPoints } from "./points.ts";
import type { Point } from "./points.ts";
import type { Report } from "./report.ts";
import { readBoolean, readText } from "./settings.ts";
import { suggest } from "./similar.ts";
import type { PlacementDefaults } from "./slurm.ts";
import { readTemplates } from "./templates.ts";
import type { NodeSource } from "./structure.ts";
import { quote } from "./tree.ts";
import type { Tree } from "./tree.ts";

/** A node whose type, bindings and points are checked; its parameters wait for the grid point. */
export interface NodeSpec {
  /** Qualified. */
  readonly name: string;
  readonly range: SourceRange;
  /** Namespace of its pipeline: coordinates have the names that this gives to axes. */
  readonly namespace: string;
  /** What its fields may mention. */
  readonly scope: Scope;
  /** Its pipeline's seed. */
  readonly pipelineSeed: number;
  /** Where its steps run unless it says so itself. */
  readonly placement: PlacementDefaults;
  readonly nodeType: NodeType;
  readonly description?: string;
  readonly ports: readonly PortSpec[];
  readonly with: Tree | undefined;
  /** Fields of the node by name, interpolation not carried out: `seed`, `cache`, `resources`, `retries`, `timeout`, ... */
  readonly settings: ReadonlyMap<string, Tree>;
  readonly only: readonly Point[];
  readonly except: readonly Point[];
  /** `only` or `except` is an input's to give: where nothing is left of the node, somebody wanted it so. */
  readonly optional: boolean;
  /** `optional`: it is there only where a node that is there reads it. */
  readonly ifRead: boolean;
  /** Axes that the node mentions in a field that adds axes to it. */
  readonly mentioned: ReadonlySet<string>;
}

const settingFields = [
  "seed",
  "cache",
  "resources",
  "retries",
  "timeout",
  "executor",
  "slurm",
  "shards",
] as const;

/** A bound input. */
export interface PortSpec {
  readonly name: string;
  readonly port: Port;
  readonly range: SourceRange;
  readonly sources: readonly BindingSource[];
}

/** Reads the node types of all nodes; undefined where the type is unknown, which is then in the report. */
export async function readNodeTypes(
  sources: readonly NodeSource[],
  { complete, types: library }: PipelineLibrary,
  scope: Scope,
  report: Report,
): Promise<ReadonlyMap<string, NodeType | undefined>> {
  const literal = { ...scope, axes: undefined, place: "`type`" };
  const types = new Map<string, NodeType | undefined>();
  for (const source of sources) {
    const tree = resolveLiteral(source.fields.get("type")?.value, literal, report);
    const type = tree && readText("type", tree, report);
    const nodeType = type === undefined ? undefined : await library.get(type);
    // It may be one of a plugin that could not be loaded, which is said there.
    if (!nodeType && type && complete) {
      const { names } = library;
      report.error("unknown-node-type", `there is no node type ${quote(type)}`, tree.range, {
        hint: `${suggest(type, names.toSorted(), "the node types are") ?? "the library is empty"}${names.length > 12 ? " (`ranflow nodes` lists them all)" : ""}`,
      });
    }
    types.set(source.name, nodeType && nodeTypeOf(source, nodeType, scope, report));
  }
  return types;
}

/** A value that may mention inputs, but no axes. */
export function resolveLiteral(tree: Tree | undefined, scope: Scope, report: Report): Tree | undefined {
  if (!tree) return undefined;
  checkMentions(tree, scope, report);
  return resolve(tree, scope, () => 0, report);
}

/** Checks all of a node that does not depend on the grid point. */
export function readNode(options: {
  readonly source: NodeSource;
  readonly nodeType: NodeType;
  readonly nodes: NodeNames;
  readonly pipeline: Pick<NodeSpec, "namespace" | "scope" | "pipelineSeed" | "placement">;
  readonly maxChoices: number;
  readonly report: Report;
}): NodeSpec {
  const { source, nodeType, nodes, pipeline, report } = options;
  const { scope } = pipeline;
  const { fields } = source;
  const name = qualified(pipeline.namespace, source.name);
  const settings = new Map<string, Tree>();
  for (const field of settingFields) {
    const tree = fields.get(field)?.value;
    if (!tree) continue;
    checkMentions(tree, scope, report);
    settings.set(field, tree);
  }
  const shards = fields.get("shards");
  if (shards && !nodeType.itemwise) {
    report.error("shards-unsupported", `${nodeType.type} cannot be split into shards`, shards.keyRange, {
      hint: "only node types that make each item by itself can; `ranflow nodes` says which",
    });
  }
  const written = fields.get("with")?.value;
  const withTree = written && readTemplates(written, { node: name, nodeType, scope, report });
  if (withTree) checkMentions(withTree, scope, report);
  const ports = source.inputs.flatMap(({ key, keyRange, value }): PortSpec[] => {
    const port = Object.hasOwn(nodeType.inputs, key) ? nodeType.inputs[key] : undefined;
    if (!port) {
      report.error("unknown-port", `${nodeType.type} has no input \`${key}\``, keyRange, {
        hint: suggest(key, Object.keys(nodeType.inputs), "its inputs are") ?? "it takes no inputs",
      });
      return [];
    }
    const context = { node: name, input: key, port, nodes, scope, maxChoices: options.maxChoices, report };
    return [{ name: key, port, range: keyRange, sources: readBindingSources(value, context) }];
  });
  const only = fields.get("only");
  const except = fields.get("except");
  const literal = (field: "description" | "optional"): Tree | undefined =>
    resolveLiteral(fields.get(field)?.value, { ...scope, axes: undefined, place: `\`${field}\`` }, report);
  const description = literal("description");
  const optional = literal("optional");
  const adding = [withTree, settings.get("seed"), settings.get("cache")].filter((tree) => tree !== undefined);
  return {
    name,
    range: source.range,
    ...pipeline,
    nodeType,
    ...(description && { description: readText("description", description, report) }),
    ports,
    with: withTree,
    settings,
    only: only ? readPoints("only", only.value, scope, report) : [],
    except: except ? readPoints("except", except.value, scope, report) : [],
    optional: [only, except].some((field) => field !== undefined && mentionsOf(field.value).length > 0),
    ifRead: optional ? readBoolean("optional", optional, report) : false,
    mentioned: new Set([
      ...axesMentioned(adding, scope),
      ...ports.flatMap(({ sources }) => sources.flatMap(({ axes }) => axes)),
    ]),
  };
}
