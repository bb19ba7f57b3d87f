import type { Axis } from "../load/axes.ts";
import type { Binding } from "../load/bindings.ts";
import { axesMentioned } from "../load/interpolation.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";
import { suggest } from "../load/similar.ts";
import { coordinateNames, takenAxes } from "./taken-axes.ts";

/** Names of a node's axes, in declaration order. */
export type NodeAxes = ReadonlyMap<string, readonly string[]>;

/**
 * Infers every node's axes: those that it mentions, and those of its inputs without the ones that `at` and
 * `collect` take away.
 *
 * @param order the nodes, each after those it reads
 */
export function inferAxes(
  order: readonly NodeSpec[],
  axes: ReadonlyMap<string, Axis>,
  report: Report,
): NodeAxes {
  const result = new Map<string, readonly string[]>();
  for (const spec of order) {
    const found = new Set(spec.mentioned);
    for (const { sources } of spec.ports) {
      for (const { choices } of sources) {
        const bindings = choices.flatMap((choice) => choice.bindings);
        checkTaken(bindings, result, report);
        for (const binding of bindings) checkNames(binding, spec, axesOf(result, binding.node, axes), report);
        for (const binding of bindings) for (const axis of remaining(binding, result, axes)) found.add(axis);
      }
    }
    const own = [...axes.keys()].filter((axis) => found.has(axis));
    result.set(spec.name, own);
    checkSettings(spec, own, report);
    for (const { field, points } of [
      { field: "only", points: spec.only },
      { field: "except", points: spec.except },
    ]) {
      for (const { labels, range } of points) {
        const foreign = [...labels.keys()].find((axis) => !own.includes(axis));
        if (foreign === undefined) continue;
        report.warn(
          "unused",
          `\`${spec.name}\` has no axis \`${foreign}\`, so that this point of \`${field}\` changes nothing`,
          range,
          {
            hint:
              own.length > 0
                ? `its axes are: ${own.map((axis) => `\`${axis}\``).join(", ")}`
                : "it has no axes",
          },
        );
      }
    }
  }
  return result;
}

function axesOf(nodeAxes: NodeAxes, node: string, axes: ReadonlyMap<string, Axis>): readonly Axis[] {
  return (nodeAxes.get(node) ?? []).flatMap((name) => axes.get(name) ?? []);
}

function remaining(binding: Binding, nodeAxes: NodeAxes, axes: ReadonlyMap<string, Axis>): string[] {
  const upstream = axesOf(nodeAxes, binding.node, axes);
  const taken = takenAxes(binding, upstream);
  return upstream.filter((axis) => !taken.includes(axis)).map(({ name }) => name);
}

// Where an interpolated binding means several nodes, it is enough that one of them has the axis.
function checkTaken(bindings: readonly Binding[], axes: NodeAxes, report: Report): void {
  const has = (axis: string): boolean => bindings.some(({ node }) => axes.get(node)?.includes(axis));
  for (const { at, names, node, over, range } of bindings) {
    const own = axes.get(node) ?? [];
    const missing = [
      ...[...at.keys(), ...(names?.keys() ?? [])].map((axis) => ({ axis, range })),
      ...(over === undefined || over === "all" ? [] : over),
    ].filter(({ axis }) => !has(axis));
    for (const { axis, range: place } of missing) {
      report.error("unknown-axis", `\`${node}\` has no axis \`${axis}\``, place, {
        hint: suggest(axis, own, "its axes are") ?? "it has no axes",
      });
    }
  }
}

/** Reports coordinates that `as` would give to two axes at once. */
function checkNames(
  binding: Binding,
  { namespace }: NodeSpec,
  upstream: readonly Axis[],
  report: Report,
): void {
  const naming = coordinateNames(binding, namespace);
  const names = takenAxes(binding, upstream).map((axis) => naming(axis, axis.name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  report.error(
    "invalid-name",
    `two axes that are gathered here would be called \`${twice}\``,
    binding.range,
    {
      hint: "give them different names with `as`",
    },
  );
}

function checkSettings(spec: NodeSpec, own: readonly string[], report: Report): void {
  for (const [field, tree] of spec.settings) {
    for (const axis of axesMentioned([tree], spec.scope)) {
      if (own.includes(axis)) continue;
      report.error(
        "unknown-axis",
        `\`${field}\` mentions \`${axis}\`, which is no axis of \`${spec.name}\``,
        tree.range,
        {
          hint: "`resources`, `retries` and `timeout` do not expand a node: mention the axis in `in` or `with`",
        },
      );
    }
  }
}
