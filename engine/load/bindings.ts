import type { SourceRange } from "../model/source.ts";
import { anyType } from "../sdk.ts";
import type { NodeType, Port } from "../sdk.ts";
import { axesIn, checkMentions, resolve } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import { checkName } from "./names.ts";
import { findAxis, readLabel } from "./points.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import { readText } from "./settings.ts";
import { similar, suggest } from "./similar.ts";
import { describe, entryOf, isNull, quote } from "./tree.ts";
import type { MapTree, Tree } from "./tree.ts";

/** Where an input comes from: a port of a node, with axes pinned or gathered. */
export interface Binding {
  /** Qualified name. */
  readonly node: string;
  readonly port: string;
  /** Qualified axis -> index of the label it is pinned to. */
  readonly at: ReadonlyMap<string, number>;
  /** `collect`: the axes to gather over; `all` without an `over`. Absent for a single artifact. */
  readonly over?: "all" | readonly { readonly axis: string; readonly range: SourceRange }[];
  /** `as`: qualified axis -> the name that its coordinates get instead of that which the reader has for it. */
  readonly names?: ReadonlyMap<string, string>;
  readonly range: SourceRange;
}

/** What a source of an input is at one choice of labels. */
export interface Choice {
  /** Empty where the input is left unbound. */
  readonly bindings: readonly Binding[];
  /** What is wrong if a step makes this choice. */
  readonly problems: Report | undefined;
}

/** One entry of an input, with its choices by the labels of the axes it mentions (last axis fastest). */
export interface BindingSource {
  readonly range: SourceRange;
  readonly axes: readonly string[];
  readonly choices: readonly Choice[];
}

/** The nodes that a pipeline can read, by the names that it has for them. */
export type NodeNames = ReadonlyMap<string, NamedNode>;

export interface NamedNode {
  /** Qualified. */
  readonly name: string;
  /** Undefined where the type is unknown. */
  readonly nodeType: NodeType | undefined;
}

export interface BindingContext {
  /** Qualified. */
  readonly node: string;
  readonly input: string;
  readonly port: Port;
  readonly nodes: NodeNames;
  readonly scope: Scope;
  readonly maxChoices: number;
  readonly report: Report;
}

/** Reads what an input is bound to, in all of its forms, at every label of the axes that it mentions. */
export function readBindingSources(tree: Tree, context: BindingContext): BindingSource[] {
  if (tree.kind !== "list") return [readBindingSource(tree, context)].flatMap((source) => source ?? []);
  if (!context.port.many) {
    takesOne(tree, "a list", context);
    return [];
  }
  return tree.items.flatMap((item) => readBindingSource(item, context) ?? []);
}

function readBindingSource(tree: Tree, context: BindingContext): BindingSource | undefined {
  const { report, scope } = context;
  checkMentions(tree, scope, report);
  const axes = axesIn([tree], scope);
  const count = axes.reduce((product, axis) => product * axis.labels.length, 1);
  if (count > context.maxChoices) {
    report.error("grid-too-large", `this binding has ${count.toLocaleString("en")} values`, tree.range, {
      hint: "mention fewer axes in one binding",
    });
    return undefined;
  }
  const choices: Choice[] = [];
  const labels = new Map<string, number>();
  for (let index = 0; index < count; index++) {
    let rest = index;
    for (const axis of axes.toReversed()) {
      labels.set(axis.name, rest % axis.labels.length);
      rest = Math.floor(rest / axis.labels.length);
    }
    // A field that one value lacks is wrong only if a step survives that has this value.
    const problems = createReport();
    const value = resolve(tree, scope, (axis) => labels.get(axis) ?? 0, problems);
    const late = problems.all().every(({ code }) => code === "unknown-field");
    if (!late) for (const problem of problems.all()) report.add(problem);
    choices.push({
      bindings: value ? readBindings(value, context) : [],
      problems: late && problems.errors() > 0 ? problems : undefined,
    });
  }
  return { range: tree.range, axes: axes.map(({ name }) => name), choices };
}

function readBindings(tree: Tree, context: BindingContext): Binding[] {
  if (isNull(tree)) return [];
  if (tree.kind === "scalar") return readReference(tree, context, new Map(), undefined);
  if (tree.kind === "map") return readBindingMap(tree, context);
  if (context.port.many) return tree.items.flatMap((item) => readBindings(item, context));
  takesOne(tree, "a list", context);
  return [];
}

const forms =
  "write `node`, `node.port`, `{ from: node.port, at: { axis: label } }` or `{ collect: node.port, over: [axis] }`";

function readBindingMap(tree: MapTree, context: BindingContext): Binding[] {
  const { report, scope } = context;
  const from = entryOf(tree, "from");
  const collect = entryOf(tree, "collect");
  const reference = from ?? collect;
  if (!reference || (from && collect)) {
    const problem = reference ? "has both `from` and `collect`" : "has neither `from` nor `collect`";
    const meant = tree.entries.map(({ key }) => similar(key, ["from", "collect"])).find(Boolean);
    report.error("binding-syntax", `the binding ${problem}`, tree.use ?? tree.range, {
      hint: reference || meant === undefined ? forms : `did you mean \`${meant}\`?`,
    });
    return [];
  }
  const known = from ? ["from", "at"] : ["collect", "over", "at", "as"];
  for (const { key, keyRange } of tree.entries) {
    if (known.includes(key)) continue;
    report.error("unknown-field", `a binding with \`${reference.key}\` has no field \`${key}\``, keyRange, {
      hint: suggest(key, known, "its fields are"),
    });
  }
  if (collect && !context.port.many) {
    takesOne(tree, "`collect`", context);
    return [];
  }
  const at = new Map<string, number>();
  const pins = entryOf(tree, "at")?.value;
  if (pins && pins.kind !== "map" && !isNull(pins)) {
    report.error("wrong-type", `\`at\` is ${describe(pins)}`, pins.range, {
      hint: "it is a map: `{ axis: label }`",
    });
  }
  for (const { key, keyRange, value } of pins?.kind === "map" ? pins.entries : []) {
    const axis = findAxis(key, keyRange, scope, report);
    const label = axis && readLabel(axis, value, report);
    if (axis && label !== undefined) at.set(axis.name, label);
  }
  if (from) return readReference(from.value, context, at, undefined);
  const names = readNames(entryOf(tree, "as")?.value, context);
  const gathered = readReference(reference.value, context, at, readOver(tree, context));
  return names.size > 0 ? gathered.map((binding) => ({ ...binding, names })) : gathered;
}

/** `as: { t10/gamma: gamma }`. */
function readNames(tree: Tree | undefined, { report, scope }: BindingContext): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  if (!tree || isNull(tree)) return names;
  if (tree.kind !== "map") {
    report.error("wrong-type", `\`as\` is ${describe(tree)}`, tree.range, {
      hint: "it is a map: `{ axis: name }`",
    });
    return names;
  }
  for (const { key, keyRange, value } of tree.entries) {
    const axis = findAxis(key, keyRange, scope, report);
    const name = readText("as", value, report);
    if (axis && name !== "" && checkName("an axis", name, value.range, report)) names.set(axis.name, name);
  }
  return names;
}

function readOver(tree: MapTree, { report, scope }: BindingContext): NonNullable<Binding["over"]> {
  const over = entryOf(tree, "over")?.value;
  if (!over || isNull(over)) return "all";
  const items = over.kind === "list" ? over.items : [over];
  return items.flatMap((item) => {
    if (item.kind === "scalar") {
      const axis = findAxis(item.text, item.range, scope, report);
      return axis ? [{ axis: axis.name, range: item.range }] : [];
    }
    report.error("wrong-type", `\`over\` holds ${describe(item)}`, item.range, {
      hint: "it is a list of axes",
    });
    return [];
  });
}

function takesOne(tree: Tree, what: string, { input, node, report }: BindingContext): void {
  report.error(
    "port-takes-one",
    `input \`${input}\` of \`${node}\` takes one artifact, not ${what}`,
    tree.use ?? tree.range,
    {
      hint: "bind it to one node, or pin the axes with `{ from: node.port, at: { axis: label } }`",
    },
  );
}

function readReference(
  tree: Tree,
  context: BindingContext,
  at: Binding["at"],
  over: Binding["over"] | undefined,
): Binding[] {
  const { nodes, report, scope } = context;
  // An error in a value that an axis brought along is shown there, with the place that uses it.
  const extra = (
    hint: string | undefined,
  ): { hint: string | undefined; related: { message: string; location: SourceRange }[] | undefined } => ({
    hint,
    related: tree.use && [{ message: "used here", location: tree.use }],
  });
  const match =
    tree.kind === "scalar"
      ? /^\s*([A-Za-z][\w-]*(?:\/[A-Za-z][\w-]*)*)(?:\.([A-Za-z][\w-]*))?\s*$/.exec(tree.text)
      : null;
  if (!match) {
    const what =
      tree.kind === "scalar" && typeof tree.value === "string" ? quote(tree.value) : describe(tree);
    report.error("binding-syntax", `${what} is no binding`, tree.range, extra(forms));
    return [];
  }
  const [, written = "", named] = match;
  const found = nodes.get(written);
  if (!found) {
    const hint = scope.axes?.has(written)
      ? `did you mean the axis, \`$(${written})\`?`
      : suggest(written, nodes.keys(), "the nodes are");
    report.error("unknown-node", `there is no node \`${written}\``, tree.range, extra(hint));
    return [];
  }
  const { name: node, nodeType } = found;
  const port = nodeType ? outputPort(written, nodeType, named, tree, context, extra) : named;
  if (port === undefined) return [];
  return [{ node, port, at, range: tree.use ?? tree.range, ...(over && { over }) }];
}

/** The output that a binding means: the one it names, else the only one of the wanted type. */
function outputPort(
  node: string,
  { outputs, type }: NodeType,
  named: string | undefined,
  tree: Tree,
  { input, node: reader, port: wanted, report }: BindingContext,
  extra: (hint: string | undefined) => {
    hint: string | undefined;
    related: { message: string; location: SourceRange }[] | undefined;
  },
): string | undefined {
  const names = Object.keys(outputs);
  const fits = (name: string): boolean => wanted.type === anyType || outputs[name]?.type === wanted.type;
  if (named !== undefined) {
    const output = Object.hasOwn(outputs, named) ? outputs[named] : undefined;
    if (!output) {
      const hint = suggest(named, names, "its outputs are") ?? "it has no outputs";
      report.error(
        "unknown-port",
        `\`${node}\` (${type}) has no output \`${named}\``,
        tree.range,
        extra(hint),
      );
    } else if (!fits(named)) {
      const fitting = names.filter(fits);
      const message = `\`${node}.${named}\` is ${output.type}, but input \`${input}\` of \`${reader}\` takes ${wanted.type}`;
      const hint =
        fitting.length > 0
          ? `\`${fitting.map((name) => `${node}.${name}`).join("`, `")}\` would fit`
          : undefined;
      report.error("port-type-mismatch", message, tree.range, extra(hint));
    } else return named;
    return undefined;
  }
  const fitting = names.filter(fits);
  if (fitting.length === 1) return fitting[0];
  if (fitting.length > 1) {
    report.error(
      "ambiguous-output",
      `\`${node}\` (${type}) has ${fitting.length} outputs${wanted.type === anyType ? "" : ` of type ${wanted.type}`}`,
      tree.range,
      extra(`say which: \`${fitting.map((name) => `${node}.${name}`).join("`, `")}\``),
    );
  } else {
    const all = names.map((name) => `${name} (${outputs[name]?.type})`).join(", ");
    report.error(
      "port-type-mismatch",
      `\`${node}\` (${type}) has no output of type ${wanted.type}, which input \`${input}\` of \`${reader}\` takes`,
      tree.range,
      extra(all === "" ? "it has no outputs" : `its outputs are: ${all}`),
    );
  }
  return undefined;
}
