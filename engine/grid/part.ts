import type { Diagnostic } from "../model/diagnostic.ts";
import type { CollectedItem, Grid, Step, StepInput } from "../model/grid.ts";
import type { StepId } from "../model/ids.ts";
import type { Result } from "../model/result.ts";
import { err, ok } from "../model/result.ts";
import { suggest } from "../load/similar.ts";
import { globTest } from "./glob.ts";
import { ChangedStep, restrict } from "./restrict.ts";
import { parseAxes, parseSelector } from "./selector-syntax.ts";
import { noLabel, problem, selectSteps } from "./selectors.ts";

/** What is wanted of a grid; nothing said is all of it. */
export interface Wanted {
  /** Selectors: any of them. */
  readonly steps?: readonly string[];
  /** `gamma=0,20` texts. */
  readonly axes?: readonly string[];
}

/** A grid of some steps and of all that they read. */
export interface GridPart {
  readonly grid: Grid;
  /** Indices, in this grid, of the steps that were asked for; the others are what these need. */
  readonly selected: readonly number[];
  /** Number of steps of the whole grid. */
  readonly of: number;
  /** Steps that gather over a part of an axis only, and so are other steps than those of the whole grid. */
  readonly partial: readonly StepId[];
}

/** Labels by axis: the others are left out. */
type Labels = ReadonlyMap<string, ReadonlySet<string>>;

/** The part of a grid that is wanted: first that of some labels, then the steps that selectors name there. */
export function partOf(
  whole: Grid,
  { axes = [], steps = [] }: Wanted,
): Result<GridPart, readonly Diagnostic[]> {
  const of = whole.steps.length;
  const all = whole.steps.map(({ index }) => index);
  if (axes.length === 0 && steps.length === 0) return ok({ grid: whole, selected: all, of, partial: [] });
  const labels = readLabels(whole, axes);
  if (!labels.ok) return labels;
  const cut = cutGrid(whole, labels.value);
  if (!cut.ok) return cut;
  const left = steps.length > 0 ? namedSteps(cut.value, { axes, steps }) : ok(cut.value.kept);
  if (!left.ok) return left;
  const grid = restrict(cut.value.grid, left.value);
  const selected = new Set(left.value.map((index) => cut.value.grid.steps[index]?.id));
  return ok({
    grid,
    selected: grid.steps.filter(({ id }) => selected.has(id)).map(({ index }) => index),
    of,
    partial: grid.steps.map(({ id }) => id).filter((id) => cut.value.partial.has(id)),
  });
}

/**
 * The step of an id, in the grid that has it: the whole one, or, for a step that gathers over a part of an axis, that
 * part. Undefined where there is none.
 */
export function findStep(
  whole: Grid,
  id: string,
): { readonly grid: Grid; readonly index: number } | undefined {
  const there = whole.steps.findIndex((step) => step.id === id);
  if (there >= 0) return { grid: whole, index: there };
  const parsed = parseSelector(id);
  if (!parsed.ok) return undefined;
  const { axes, node } = parsed.value;
  const own = whole.nodes.find(({ name }) => name === node.text)?.axes ?? [];
  // An axis of the step's own stands first; where it stands again, it is gathered over as well.
  const gathered = axes.filter(
    ({ axis }, i) =>
      !own.includes(axis.text) || axes.findIndex((other) => other.axis.text === axis.text) !== i,
  );
  if (gathered.length === 0) return undefined;
  const texts = gathered.map(({ axis, labels }) => `${axis.text}=${labels.map(({ text }) => text).join()}`);
  const part = partOf(whole, { axes: texts });
  const index = part.ok ? part.value.grid.steps.findIndex((step) => step.id === id) : -1;
  return part.ok && index >= 0 ? { grid: part.value.grid, index } : undefined;
}

/** The kept steps that any of the selectors names. */
function namedSteps(
  { grid, kept }: Cut,
  { axes, steps }: Required<Wanted>,
): Result<readonly number[], readonly Diagnostic[]> {
  const isKept = new Set(kept);
  const named = new Set<number>();
  const problems: Diagnostic[] = [];
  for (const selector of steps) {
    const found = selectSteps(grid, [selector]);
    if (!found.ok) {
      problems.push(...found.error);
      continue;
    }
    const left = found.value.filter((index) => isKept.has(index));
    if (left.length === 0) problems.push(leftOut(selector, axes));
    for (const index of left) named.add(index);
  }
  return problems.length > 0 ? err(problems) : ok([...named].toSorted((a, b) => a - b));
}

function leftOut(selector: string, axes: readonly string[]): Diagnostic {
  return {
    code: "unknown-step",
    severity: "error",
    message: `--axes ${axes.join(" --axes ")} leaves out all steps of \`${selector}\``,
    hint: "name labels in one place or in the other",
  };
}

/** Reads `gamma=0,20` texts; labels of one axis add up. */
function readLabels(grid: Grid, texts: readonly string[]): Result<Labels, readonly Diagnostic[]> {
  const labels = new Map<string, Set<string>>();
  const problems: Diagnostic[] = [];
  for (const text of texts) {
    const parsed = parseAxes(text);
    if (!parsed.ok) {
      problems.push(parsed.error);
      continue;
    }
    for (const { axis, labels: patterns } of parsed.value) {
      const known = Object.hasOwn(grid.axes, axis.text) ? grid.axes[axis.text] : undefined;
      if (!known) {
        const hint = suggest(axis.text, Object.keys(grid.axes), "the axes are") ?? "the pipeline has no axes";
        problems.push(problem("unknown-axis", `there is no axis \`${axis.text}\``, axis.range, hint));
        continue;
      }
      const chosen = labels.get(axis.text) ?? new Set();
      labels.set(axis.text, chosen);
      for (const pattern of patterns) {
        const found = known.filter(globTest(pattern.text));
        if (found.length === 0) problems.push(noLabel(axis, pattern, known));
        for (const label of found) chosen.add(label);
      }
    }
  }
  return problems.length > 0 ? err(problems) : ok(labels);
}

interface Cut {
  /** Has all of the steps, some of which gather less. */
  readonly grid: Grid;
  /** Indices of the steps that have none but wanted labels, and have their inputs. */
  readonly kept: readonly number[];
  /** Steps of which less comes in than in the whole grid. */
  readonly partial: ReadonlySet<StepId>;
}

/**
 * Leaves out the steps of unwanted labels. What is pinned with `at` stays, as something that is needed; what is
 * gathered over an axis comes from the wanted labels alone.
 */
function cutGrid(grid: Grid, labels: Labels): Result<Cut, readonly Diagnostic[]> {
  if (labels.size === 0) return ok({ grid, kept: grid.steps.map(({ index }) => index), partial: new Set() });
  const kept: number[] = [];
  const steps: Step[] = [];
  const partial = new Set<StepId>();
  /** Axes of which a step, or what it reads, gathers a part. */
  const cutAxes = new Map<number, ReadonlySet<string>>();
  const gone = new Set<number>();
  for (const step of grid.steps) {
    const cut = new Set<string>();
    const inputs: Record<string, StepInput> = {};
    let isGone = false;
    for (const [name, input] of Object.entries(step.inputs)) {
      inputs[name] = input;
      if (!step.reads.includes(name)) continue;
      if (input.kind === "one") {
        isGone ||= gone.has(input.step);
        for (const axis of cutAxes.get(input.step) ?? []) cut.add(axis);
        continue;
      }
      const left = input.items.filter(gatheredFrom(grid, input.items, labels, gone, cut));
      for (const item of left) for (const axis of cutAxes.get(item.step) ?? []) cut.add(axis);
      if (left.length === input.items.length) continue;
      isGone ||= left.length === 0;
      inputs[name] = { kind: "many", items: left };
    }
    if (isGone) gone.add(step.index);
    if (isGone || cut.size === 0) {
      steps.push(step);
    } else {
      const id = partialId(step, grid, labels, cut);
      cutAxes.set(step.index, cut);
      partial.add(id);
      steps.push(new ChangedStep(step, { index: step.index, id, inputs: () => inputs, shards: step.shards }));
    }
    if (isGone) continue;
    if (Object.entries(step.point).every(([axis, label]) => labels.get(axis)?.has(label) ?? true))
      kept.push(step.index);
  }
  if (kept.length > 0) return ok({ grid: { ...grid, steps }, kept, partial });
  const [axis] = labels.keys();
  const message = `no step of the grid has the wanted labels of ${[...labels.keys()].join(", ")} at once`;
  return err([{ code: "unknown-step", severity: "error", message, hint: `leave out --axes ${axis}=...` }]);
}

/**
 * Which items of a collecting input stay; axes of which some do not are added to `cut`. Where all items of a
 * binding have one label of an axis, the label was pinned, or is the only one: that is nothing to choose from.
 */
function gatheredFrom(
  grid: Grid,
  items: readonly CollectedItem[],
  labels: Labels,
  gone: ReadonlySet<number>,
  cut: Set<string>,
): (item: CollectedItem) => boolean {
  const pointOf = ({ step }: CollectedItem): Step["point"] => (grid.steps[step] as Step).point;
  const seen = new Map<string, Set<string>>();
  for (const item of items) {
    for (const axis of labels.keys()) {
      const label = pointOf(item)[axis];
      if (label === undefined) continue;
      const key = `${item.binding} ${axis}`;
      seen.set(key, (seen.get(key) ?? new Set()).add(label));
    }
  }
  return (item) => {
    const point = pointOf(item);
    const unwanted = [...labels].filter(([axis, wanted]) => {
      const label = point[axis];
      return (
        label !== undefined && !wanted.has(label) && (seen.get(`${item.binding} ${axis}`)?.size ?? 0) > 1
      );
    });
    for (const [axis] of unwanted) cut.add(axis);
    if (unwanted.length > 0) return false;
    if (!gone.has(item.step)) return true;
    for (const axis of labels.keys()) cut.add(axis);
    return false;
  };
}

/**
 * The id of a step that gathers over a part of an axis, `table[gamma=0,20]`: results, logs and tables of the part
 * are kept apart from those of the whole.
 */
function partialId(step: Step, grid: Grid, labels: Labels, cut: ReadonlySet<string>): StepId {
  const parts = Object.keys(grid.axes)
    .filter((axis) => cut.has(axis))
    .map(
      (axis) => `${axis}=${(grid.axes[axis] ?? []).filter((label) => labels.get(axis)?.has(label)).join()}`,
    );
  const [name, own] = /^([^[#]*)(?:\[(.*)\])?/.exec(step.id)?.slice(1) ?? [step.id];
  const shard = /#.*$/.exec(step.id)?.[0] ?? "";
  return `${name}[${[...(own ? [own] : []), ...parts].join()}]${shard}` as StepId;
}
