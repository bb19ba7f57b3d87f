import { stepNames } from "../model/template.ts";
import type { NodeType, Port } from "../sdk.ts";
import { paramMeta } from "../grid/params.ts";
import type { Scope } from "./interpolation.ts";
import { leaveToStep } from "./mentions.ts";
import type { Mention } from "./mentions.ts";
import type { Report } from "./report.ts";
import { suggest } from "./similar.ts";
import type { Tree } from "./tree.ts";

interface TemplateContext {
  /** Qualified. */
  readonly node: string;
  /** With the node's own ports. */
  readonly nodeType: NodeType;
  readonly scope: Scope;
  readonly report: Report;
}

/**
 * A node's `with` in which template parameters leave to the step what only the step knows: `$(in.PORT)`, `$(out.PORT)`,
 * `$(scratch)` and `$(seed)`. Ports that the node does not have are reported. An axis of such a name comes first.
 */
export function readTemplates(tree: Tree, context: TemplateContext): Tree {
  const metas = paramMeta(context.nodeType);
  if (![...metas.values()].some(({ template }) => template)) return tree;
  if (tree.kind === "list") return { ...tree, items: tree.items.map((item) => readTemplates(item, context)) };
  if (tree.kind !== "map") return tree;
  const roots = new Set(stepNames.filter((name) => !context.scope.axes?.has(name)) as readonly string[]);
  const entries = tree.entries.map((entry) => {
    if (!metas.get(entry.key)?.template) return entry;
    const { left, tree: value } = leaveToStep(entry.value, roots);
    for (const mention of left) checkName(mention, context);
    return { ...entry, value };
  });
  return { ...tree, entries };
}

function checkName({ path, range, root }: Mention, { node, nodeType, report }: TemplateContext): void {
  if (root === "in") checkPort("input", nodeType.inputs);
  else if (root === "out") checkPort("output", nodeType.outputs);
  else if (path.length > 0) {
    report.error("unknown-field", `\`$(${root})\` has no fields`, range, { hint: `write \`$(${root})\`` });
  }

  function checkPort(what: "input" | "output", ports: Readonly<Record<string, Port>>): void {
    const names = Object.keys(ports);
    const [name] = path;
    if (name === undefined) {
      report.error("interpolation-syntax", `\`$(${root})\` does not say which ${what}`, range, {
        hint: `write \`$(${root}.${names[0] ?? "name"})\``,
      });
    } else if (path.length > 1 || !Object.hasOwn(ports, name)) {
      const hint = suggest(path.join("."), names, `its ${what}s are`);
      report.error("unknown-port", `\`${node}\` has no ${what} \`${path.join(".")}\``, range, {
        hint: hint ?? (what === "input" ? "bind it under `in:`" : "declare it under `outputs:`"),
      });
    }
  }
}
