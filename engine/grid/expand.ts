import type { Grid, GridNode, Step } from "../model/grid.ts";
import type { SourceFile } from "../model/source.ts";
import type { Axis } from "../load/axes.ts";
import { axesMentioned } from "../load/interpolation.ts";
import type { GridRules } from "../load/grid-rules.ts";
import type { NodeSpec } from "../load/nodes.ts";
import { createReport } from "../load/report.ts";
import type { Report } from "../load/report.ts";
import type { Tree } from "../load/tree.ts";
import { ExpandedStep, StepFamily } from "./expanded-step.ts";
import type { PointStep } from "./expanded-step.ts";
import { layoutOf, pointTests, setLabels, subsetKey } from "./layout.ts";
import type { Layout } from "./layout.ts";
import type { NodeAxes } from "./infer.ts";
import { checkRequired, stepParams } from "./step-params.ts";
import type { StepParams } from "./step-params.ts";
import { Wiring } from "./wiring.ts";
import type { ExpandedNode } from "./wiring.ts";
import { stepSettings } from "./step-settings.ts";
import { gridTrimming } from "./trimming.ts";
import type { RuleUse } from "./trimming.ts";

/** What expansion needs to know of a pipeline. */
export interface Expansion {
  /** The nodes, each after those it reads. */
  readonly order: readonly NodeSpec[];
  readonly axes: ReadonlyMap<string, Axis>;
  readonly nodeAxes: NodeAxes;
  readonly rules: GridRules;
  readonly baseOf: (file: SourceFile) => string;
  readonly report: Report;
}

/** Expands the axes: every node at every grid point that trimming leaves, inputs wired, parameters checked. */
export function expandGrid(expansion: Expansion): Pick<Grid, "nodes" | "steps"> {
  const steps: Step[] = [];
  const nodes: GridNode[] = [];
  const done = new Map<string, ExpandedNode>();
  const upstream = (node: string): ExpandedNode => {
    const found = done.get(node);
    if (!found) throw new Error(`internal error: the steps of ${node} are not expanded yet`);
    return found;
  };
  const use: RuleUse = {
    exclude: expansion.rules.exclude.map(() => 0),
    include: expansion.rules.include.map(() => 0),
  };
  for (const spec of expansion.order) {
    const first = steps.length;
    const expanded = new NodeExpansion(spec, expansion, upstream, use).run(steps);
    done.set(spec.name, expanded);
    nodes.push({
      name: spec.name,
      type: spec.nodeType.type,
      ...(spec.description !== undefined && { description: spec.description }),
      axes: expanded.layout.axes.map(({ name }) => name),
      steps: Array.from({ length: steps.length - first }, (_, i) => first + i),
      location: spec.range,
    });
  }
  warnIdleRules(expansion, use);
  return { nodes, steps };
}

function warnIdleRules({ report, rules }: Expansion, use: RuleUse): void {
  rules.exclude.forEach(({ range }, i) => {
    if (use.exclude[i] !== 0) return;
    report.warn("unused", "this point of `exclude` trims nothing", range, {
      hint: "it applies to nodes that have every axis that it names",
    });
  });
  rules.include.forEach(({ range }, i) => {
    if (use.include[i] !== 0) return;
    report.warn("unused", "this point of `include` adds nothing", range, {
      hint: "all of it is in the grid without it, or no node has an axis that it names",
    });
  });
}

class NodeExpansion {
  readonly #spec: NodeSpec;
  readonly #expansion: Expansion;
  readonly #report: Report;
  readonly #use: RuleUse;
  readonly #layout: Layout;
  readonly #wiring: Wiring;
  /** Labels of the point at hand, by position of the axis. */
  readonly #labels: number[];
  readonly #labelOf = (axis: string): number => this.#labels[this.#layout.positionOf.get(axis) ?? -1] ?? 0;
  readonly #family: StepFamily;
  readonly #known = new Map<StepParams | undefined, Map<number, readonly string[]>>();

  constructor(spec: NodeSpec, expansion: Expansion, upstream: (node: string) => ExpandedNode, use: RuleUse) {
    this.#spec = spec;
    this.#expansion = expansion;
    this.#report = expansion.report;
    this.#use = use;
    const axes = (expansion.nodeAxes.get(spec.name) ?? []).flatMap((name) => expansion.axes.get(name) ?? []);
    this.#layout = layoutOf(axes);
    this.#labels = axes.map(() => 0);
    this.#wiring = new Wiring(spec, this.#layout, { upstream, report: expansion.report });
    this.#family = new StepFamily(spec, this.#layout, this.#wiring);
  }

  /** Appends the node's steps. */
  run(steps: Step[]): ExpandedNode {
    const index = new Int32Array(this.#layout.size).fill(-1);
    const isTrimmed = this.#ownTrimming();
    const params = this.#memo([this.#spec.with], () =>
      stepParams(this.#spec, this.#labelOf, this.#expansion),
    );
    const settings = this.#memo([...this.#spec.settings.values()], () =>
      stepSettings(this.#spec, this.#labelOf, this.#expansion),
    );
    // What is wrong with parameters is no mistake yet at a point that may be trimmed.
    const tried = this.#memo([this.#spec.with], () =>
      stepParams(this.#spec, this.#labelOf, { ...this.#expansion, report: createReport() }),
    );
    const atPoint = {
      id: () => this.#family.id(this.#labels),
      reads: () => this.#spec.nodeType.reads && tried().reads,
    };
    let candidates = 0;
    const points: PointStep[] = [];
    for (let point = 0; point < index.length; point++) {
      setLabels(this.#layout, point, this.#labels);
      if (isTrimmed(point)) continue;
      candidates++;
      const wired = this.#wiring.at(this.#labels, atPoint);
      if (!wired) continue;
      const own = params();
      const reads = this.#reads(own, wired.bound);
      points.push({ point, params: own.params ?? {}, reads, settings: settings() });
    }
    const shards = this.#spec.settings.has("shards") ? this.#addShards(points, steps) : [];
    for (const [i, own] of points.entries()) {
      index[own.point] = steps.length;
      steps.push(new ExpandedStep(this.#family, own, steps.length, shards[i] && { shards: shards[i] }));
    }
    const live = points.length;
    if (candidates > 0) {
      if (live === 0) this.#wiring.reportBarren(this.#spec);
    } else if (!this.#spec.optional) this.#warnAllTrimmed();
    return {
      spec: this.#spec,
      layout: this.#layout,
      steps: index,
      live,
      barren: live === 0 && candidates > 0,
    };
  }

  /** Appends the steps that make the items of those at these points; their indices, where there are any. */
  #addShards(points: readonly PointStep[], steps: Step[]): readonly (readonly number[] | undefined)[] {
    return points.map((own) => {
      const { shards: count } = own.settings;
      if (count === 1) return undefined;
      return Array.from({ length: count }, (_, index) => {
        const at = steps.length;
        steps.push(new ExpandedStep(this.#family, own, at, { shard: { index, count } }));
        return at;
      });
    });
  }

  #ownTrimming(): (point: number) => boolean {
    const { only, except } = this.#spec;
    const wanted = pointTests(this.#layout, only);
    const unwanted = pointTests(this.#layout, except);
    const grid = gridTrimming(this.#layout, this.#expansion.rules, this.#use);
    return (point) => {
      if (!grid.keeps(point, this.#labels) || unwanted.some((test) => test(this.#labels))) return true;
      return wanted.length > 0 && !wanted.some((test) => test(this.#labels));
    };
  }

  /** Makes a value once per combination of the labels that some fields mention. */
  #memo<T>(trees: readonly (Tree | undefined)[], make: () => T): () => T {
    const present = trees.filter((tree) => tree !== undefined);
    const axes = axesMentioned(present, this.#spec.scope);
    // Of a value that depends on every axis, no point has the same as another.
    if (axes.length > 0 && axes.length === this.#layout.axes.length) return make;
    const keyOf = subsetKey(this.#layout, axes);
    const made = new Map<number, T>();
    return () => {
      const key = keyOf(this.#labels);
      let value = made.get(key);
      if (value === undefined) made.set(key, (value = make()));
      return value;
    };
  }

  /** Names of the inputs that are read, made once for equal parameters and equally bound ports. */
  #reads(own: StepParams, bound: number): readonly string[] {
    const { nodeType } = this.#spec;
    const dependsOnParams = nodeType.reads !== undefined || nodeType.checkInputs !== undefined;
    const of = dependsOnParams ? own : undefined;
    let byBound = this.#known.get(of);
    if (!byBound) this.#known.set(of, (byBound = new Map()));
    let reads = byBound.get(bound);
    if (!reads) {
      const names = this.#spec.ports.flatMap(({ name }, i) =>
        Math.floor(bound / 2 ** i) % 2 === 1 ? name : [],
      );
      checkRequired(this.#spec, own, (input) => names.includes(input), this.#report);
      const declared = Object.keys(this.#spec.nodeType.inputs).filter((input) => names.includes(input));
      byBound.set(bound, (reads = declared.filter((input) => own.reads?.includes(input) ?? true)));
    }
    return reads;
  }

  #warnAllTrimmed(): void {
    const { name, range } = this.#spec;
    this.#report.warn("unused", `trimming leaves no step of \`${name}\``, range, {
      hint: "look at its `only` and `except`, and at `grid.exclude`",
    });
  }
}
