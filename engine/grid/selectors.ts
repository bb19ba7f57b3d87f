import type { Diagnostic, DiagnosticCode } from "../model/diagnostic.ts";
import type { Grid, GridNode, Step } from "../model/grid.ts";
import type { Result } from "../model/result.ts";
import { err, ok } from "../model/result.ts";
import { suggest } from "../load/similar.ts";
import { joinsOf } from "../plan/links.ts";
import { globTest, isGlob } from "./glob.ts";
import { withDownstream, withUpstream } from "./restrict.ts";
import { parseSelector } from "./selector-syntax.ts";
import type { AxisPattern, Piece, Selector } from "./selector-syntax.ts";

/**
 * The steps that any of the selectors names, by index, in ascending order. A selector that names nothing is an error:
 * it was meant to name something.
 *
 * @param source how messages call the place that the selectors were written in, for instance `--force`
 */
export function selectSteps(
  grid: Grid,
  selectors: readonly string[],
  source?: string,
): Result<readonly number[], readonly Diagnostic[]> {
  const selected = new Set<number>();
  const problems: Diagnostic[] = [];
  for (const text of selectors) {
    const parsed = parseSelector(text, source);
    const found = parsed.ok ? selectOne(grid, parsed.value) : parsed;
    if (!found.ok) problems.push(found.error);
    else for (const index of found.value) selected.add(index);
  }
  return problems.length > 0 ? err(problems) : ok([...selected].toSorted((a, b) => a - b));
}

function selectOne(grid: Grid, selector: Selector): Result<Iterable<number>, Diagnostic> {
  const named = namedSteps(grid, selector);
  if (!named.ok) return named;
  const { downstream, upstream } = selector;
  if (!upstream && !downstream) return named;
  const { value } = named;
  return ok(
    new Set([
      ...value,
      ...(upstream ? withUpstream(grid, value) : []),
      ...(downstream ? withDownstream(grid, value) : []),
    ]),
  );
}

function namedSteps(grid: Grid, selector: Selector): Result<readonly number[], Diagnostic> {
  const { axes, node, range, shard } = selector;
  const isNamed = globTest(node.text);
  const nodes = grid.nodes.filter(({ name }) => isNamed(name));
  if (nodes.length === 0) return err(noNode(grid, node));
  const exact = stepOf(grid, nodes, selector.text);
  if (exact !== undefined) return ok(joined(grid, [exact]));

  // A node without one of the axes has no steps that the selector could mean.
  const able = nodes.filter((candidate) => axes.every(({ axis }) => candidate.axes.includes(axis.text)));
  if (able.length === 0) return err(noAxis(grid, nodes, selector));
  const tests = new Map<string, (label: string) => boolean>();
  for (const { axis, labels } of axes) {
    const known = grid.axes[axis.text] ?? [];
    for (const label of labels) {
      if (!known.some(globTest(label.text))) return err(noLabel(axis, label, known));
    }
    const patterns = labels.map(({ text }) => globTest(text));
    const before = tests.get(axis.text);
    tests.set(
      axis.text,
      (label) => patterns.some((test) => test(label)) && (before === undefined || before(label)),
    );
  }
  const isShard = shard && globTest(shard.text);
  const isMeant = (step: Step): boolean => {
    for (const [axis, test] of tests) if (!test(step.point[axis] ?? "")) return false;
    const own = shardOf(step);
    return own === undefined ? isShard === undefined : isShard !== undefined && isShard(own);
  };
  const found = able.flatMap(({ steps }) => steps.filter((index) => isMeant(grid.steps[index] as Step)));
  if (found.length > 0) return ok(shard ? joined(grid, found) : found);
  return err(
    problem(
      "unknown-step",
      `no step is called \`${selector.text}\``,
      range,
      "these labels do not come together: see `only` and `except` of the node, and `grid`",
    ),
  );
}

/** The step of exactly this id, as one that gathers over a part of an axis has it. */
function stepOf(grid: Grid, nodes: readonly GridNode[], id: string): number | undefined {
  if (isGlob(id)) return undefined;
  for (const { steps } of nodes) {
    const found = steps.find((index) => grid.steps[index]?.id === id);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Steps, with those that join shards in place of the shards: a share alone is of no use to anybody. */
function joined(grid: Grid, steps: readonly number[]): readonly number[] {
  if (!steps.some((index) => grid.steps[index]?.shard)) return steps;
  const joins = joinsOf(grid.steps);
  return [...new Set(steps.map((index) => joins.get(index) ?? index))];
}

function shardOf({ id }: Step): string | undefined {
  const at = id.indexOf("#");
  return at < 0 ? undefined : id.slice(at + 1);
}

function noNode(grid: Grid, { range, text }: Piece): Diagnostic {
  const names = grid.nodes.map(({ name }) => name);
  return problem(
    "unknown-node",
    isGlob(text) ? `no node is called like \`${text}\`` : `there is no node \`${text}\``,
    range,
    suggest(text, names, "the nodes are"),
  );
}

function noAxis(grid: Grid, nodes: readonly GridNode[], { axes, node }: Selector): Diagnostic {
  const subject = nodes.length === 1 ? `\`${nodes[0]?.name}\`` : `no node like \`${node.text}\``;
  const has = nodes.length === 1 ? "has no" : "has an";
  const there = [...new Set(nodes.flatMap((candidate) => candidate.axes))];
  const missing = axes.find(({ axis }) => !there.includes(axis.text));
  if (!missing) {
    const names = axes.map(({ axis }) => `\`${axis.text}\``).join(", ");
    return problem("unknown-axis", `${subject} has all of the axes ${names}`, node.range, undefined);
  }
  const { axis, labels } = missing;
  const hint = Object.hasOwn(grid.axes, axis.text)
    ? `a part of the grid, with what gathers over it, is --axes ${axis.text}=${labels.map(({ text }) => text).join()}`
    : (suggest(axis.text, there, "the axes there are") ?? "there are no axes");
  return problem("unknown-axis", `${subject} ${has} axis \`${axis.text}\``, axis.range, hint);
}

/** The error of a label pattern that no label of an axis matches. */
export function noLabel(axis: AxisPattern["axis"], label: Piece, known: readonly string[]): Diagnostic {
  return problem(
    "unknown-label",
    isGlob(label.text)
      ? `no label of axis \`${axis.text}\` is like \`${label.text}\``
      : `axis \`${axis.text}\` has no label \`${label.text}\``,
    label.range,
    suggest(label.text, known, "its labels are"),
  );
}

/** A selector's error. */
export function problem(
  code: DiagnosticCode,
  message: string,
  location: Piece["range"],
  hint: string | undefined,
): Diagnostic {
  return { code, severity: "error", message, location, ...(hint !== undefined && { hint }) };
}
