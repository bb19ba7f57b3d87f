import type { StepId } from "../model/ids.ts";
import type { Grid, GridNode, Step, StepInput } from "../model/grid.ts";
import type { SourceFile, SourceRange } from "../model/source.ts";
import type { Axis } from "../load/axes.ts";
import { axesMentioned } from "../load/interpolation.ts";
import type { Scope } from "../load/interpolation.ts";
import type { NodeSpec, PortSpec } from "../load/nodes.ts";
import type { Point } from "../load/points.ts";
import type { Report } from "../load/report.ts";
import type { Tree } from "../load/tree.ts";
import { layoutOf, pointTests, routeOf, subsetKey } from "./layout.ts";
import type { Layout, Route } from "./layout.ts";
import type { NodeAxes } from "./infer.ts";
import { checkRequired, stepParams } from "./step-params.ts";
import type { StepParams } from "./step-params.ts";
import { stepSettings } from "./step-settings.ts";

/** What expansion needs to know of a pipeline. */
export interface Expansion {
  /** The nodes, each after those it reads. */
  readonly order: readonly NodeSpec[];
  readonly axes: ReadonlyMap<string, Axis>;
  readonly nodeAxes: NodeAxes;
  readonly exclude: readonly Point[];
  readonly scope: Scope;
  /** The pipeline's seed, for nodes without their own. */
  readonly seed: number;
  readonly baseOf: (file: SourceFile) => string;
  readonly report: Report;
}

type Labels = readonly number[];

/** A node with its steps so far. */
interface Expanded {
  readonly spec: NodeSpec;
  readonly layout: Layout;
  /** Point number -> index of the step; -1 where it is trimmed. */
  readonly steps: Int32Array;
  live: number;
  /** The node has no steps for a reason that is reported. */
  barren: boolean;
}

/** A source of an input with its routes, by choice. */
interface SourcePlan {
  readonly keyOf: (labels: Labels) => number;
  readonly choices: readonly { readonly routes: readonly Route[]; readonly problems: Report | undefined }[];
  readonly range: SourceRange;
  /** Points at which the source gave what it should. */
  resolved: number;
}

/** Expands the axes: every node at every grid point that trimming leaves, inputs wired, parameters checked. */
export function expandGrid(expansion: Expansion): Pick<Grid, "nodes" | "steps"> {
  const steps: Step[] = [];
  const nodes: GridNode[] = [];
  const done = new Map<string, Expanded>();
  const excluded = expansion.exclude.map(() => 0);
  for (const spec of expansion.order) {
    const first = steps.length;
    const expanded = new NodeExpansion(spec, expansion, done, excluded).run(steps);
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
  expansion.exclude.forEach(({ range }, i) => {
    if (excluded[i] === 0) {
      expansion.report.warn("unused", "this point of `exclude` trims nothing", range, {
        hint: "it applies to nodes that have every axis that it names",
      });
    }
  });
  return { nodes, steps };
}

class NodeExpansion {
  readonly #spec: NodeSpec;
  readonly #expansion: Expansion;
  readonly #report: Report;
  readonly #done: ReadonlyMap<string, Expanded>;
  readonly #excluded: number[];
  readonly #layout: Layout;
  readonly #ports: readonly { readonly spec: PortSpec; readonly sources: readonly SourcePlan[] }[];
  /** Labels of the point at hand, by position of the axis. */
  readonly #labels: number[];
  readonly #labelOf = (axis: string): number => this.#labels[this.#layout.positionOf.get(axis) ?? -1] ?? 0;
  readonly #trimmedPins = new Set<SourceRange>();

  constructor(spec: NodeSpec, expansion: Expansion, done: ReadonlyMap<string, Expanded>, excluded: number[]) {
    this.#spec = spec;
    this.#expansion = expansion;
    this.#report = expansion.report;
    this.#done = done;
    this.#excluded = excluded;
    const axes = (expansion.nodeAxes.get(spec.name) ?? []).flatMap((name) => expansion.axes.get(name) ?? []);
    this.#layout = layoutOf(axes);
    this.#labels = axes.map(() => 0);
    this.#ports = spec.ports.map((port) => ({
      spec: port,
      sources: port.sources.map((source) => this.#plan(source)),
    }));
  }

  #plan(source: PortSpec["sources"][number]): SourcePlan {
    return {
      keyOf: subsetKey(this.#layout, source.axes),
      choices: source.choices.map(({ bindings, problems }) => ({
        routes: bindings.map((binding) =>
          routeOf(binding, this.#layout, this.#upstream(binding.node).layout),
        ),
        problems,
      })),
      range: source.range,
      resolved: 0,
    };
  }

  #upstream(node: string): Expanded {
    const upstream = this.#done.get(node);
    if (!upstream) throw new Error(`internal error: ${this.#spec.name} is expanded before ${node}`);
    return upstream;
  }

  /** Appends the node's steps. */
  run(steps: Step[]): Expanded {
    const { size } = this.#layout;
    const expanded: Expanded = {
      spec: this.#spec,
      layout: this.#layout,
      steps: new Int32Array(size).fill(-1),
      live: 0,
      barren: false,
    };
    const isTrimmed = this.#ownTrimming();
    const params = this.#memo([this.#spec.with], () =>
      stepParams(this.#spec, this.#labelOf, this.#expansion),
    );
    const settings = this.#memo([...this.#spec.settings.values()], () =>
      stepSettings(this.#spec, this.#labelOf, this.#expansion),
    );
    const reads = new Map<StepParams, Map<number, readonly string[]>>();
    let candidates = 0;
    for (let point = 0; point < size; point++) {
      if (point > 0) this.#advance();
      if (isTrimmed()) continue;
      candidates++;
      const inputs = this.#inputs();
      if (!inputs) continue;
      expanded.steps[point] = steps.length;
      expanded.live++;
      const own = params();
      steps.push({
        index: steps.length,
        id: this.#id(),
        node: this.#spec.name,
        nodeType: this.#spec.nodeType,
        point: this.#point(),
        params: own.params ?? {},
        inputs,
        reads: this.#reads(own, inputs, reads),
        ...settings(),
      });
    }
    if (expanded.live === 0) this.#reportBarren(expanded, candidates);
    return expanded;
  }

  /** Goes to the next point: the last axis counts fastest. */
  #advance(): void {
    for (let position = this.#labels.length - 1; position >= 0; position--) {
      const next = (this.#labels[position] ?? 0) + 1;
      if (next < (this.#layout.axes[position]?.labels.length ?? 0)) {
        this.#labels[position] = next;
        return;
      }
      this.#labels[position] = 0;
    }
  }

  #ownTrimming(): () => boolean {
    const { only, except } = this.#spec;
    const wanted = pointTests(this.#layout, only);
    const unwanted = pointTests(this.#layout, except);
    const excluded = this.#expansion.exclude.map((point) => pointTests(this.#layout, [point])[0]);
    return () => {
      let trimmed = false;
      excluded.forEach((test, i) => {
        if (!test?.(this.#labels)) return;
        this.#excluded[i] = (this.#excluded[i] ?? 0) + 1;
        trimmed = true;
      });
      if (trimmed || unwanted.some((test) => test(this.#labels))) return true;
      return wanted.length > 0 && !wanted.some((test) => test(this.#labels));
    };
  }

  /** Makes a value once per combination of the labels that some fields mention. */
  #memo<T>(trees: readonly (Tree | undefined)[], make: () => T): () => T {
    const present = trees.filter((tree) => tree !== undefined);
    const keyOf = subsetKey(this.#layout, axesMentioned(present, this.#expansion.scope));
    const made = new Map<number, T>();
    return () => {
      const key = keyOf(this.#labels);
      let value = made.get(key);
      if (value === undefined) made.set(key, (value = make()));
      return value;
    };
  }

  /** The step's inputs; undefined where one of them has no step left, so that this step is trimmed too. */
  #inputs(): Step["inputs"] | undefined {
    const inputs: Record<string, StepInput> = {};
    let complete = true;
    for (const { spec, sources } of this.#ports) {
      const items: Extract<StepInput, { kind: "many" }>["items"][number][] = [];
      let bound = false;
      for (const source of sources) {
        const choice = source.choices[source.keyOf(this.#labels)];
        if (!choice) throw new Error("internal error: a binding without a choice for its labels");
        let found = true;
        for (const route of choice.routes) {
          bound = true;
          if (!this.#follow(route, items)) found = false;
        }
        if (found) source.resolved++;
        else complete = false;
      }
      if (!bound) continue;
      const [first] = items;
      if (spec.port.many) inputs[spec.name] = { kind: "many", items };
      else if (first) inputs[spec.name] = { kind: "one", step: first.step, port: first.port };
    }
    if (!complete) return undefined;
    this.#reportChosenProblems();
    return inputs;
  }

  // A value without the wanted field is a mistake only now that the step is known to survive.
  #reportChosenProblems(): void {
    for (const { sources } of this.#ports) {
      for (const source of sources) {
        const problems = source.choices[source.keyOf(this.#labels)]?.problems;
        for (const problem of problems?.all() ?? []) this.#report.add(problem);
      }
    }
  }

  /** Appends what a binding brings in; false where that is nothing. */
  #follow(route: Route, items: { step: number; port: string; at: Route["coordinates"][number] }[]): boolean {
    const { binding, coordinates, offsets } = route;
    const upstream = this.#upstream(binding.node);
    const base = route.base(this.#labels);
    let found = false;
    for (let i = 0; i < offsets.length; i++) {
      const step = upstream.steps[base + (offsets[i] ?? 0)] ?? -1;
      if (step < 0) continue;
      found = true;
      items.push({ step, port: binding.port, at: coordinates[i] ?? {} });
    }
    if (!found && binding.over === undefined) this.#checkPin(route, upstream, base);
    return found;
  }

  /** An `at` onto a trimmed step is a mistake, unless nothing at all is left of the upstream at this point. */
  #checkPin({ binding, siblings }: Route, upstream: Expanded, base: number): void {
    if (this.#trimmedPins.has(binding.range)) return;
    if (!siblings.some((offset) => (upstream.steps[base + offset] ?? -1) >= 0)) return;
    this.#trimmedPins.add(binding.range);
    const pins = [...binding.at].map(
      ([axis, label]) => `${axis}=${this.#expansion.axes.get(axis)?.labels[label]}`,
    );
    this.#report.error(
      "trimmed-step",
      `\`${this.#id()}\` pins \`${binding.node}\` to ${pins.join(", ")}, and that step is trimmed`,
      binding.range,
      {
        hint: "pin another label, or do not trim this one",
        related: [{ message: `\`${binding.node}\` is defined here`, location: upstream.spec.range }],
      },
    );
  }

  #reads(
    own: StepParams,
    inputs: Step["inputs"],
    known: Map<StepParams, Map<number, readonly string[]>>,
  ): readonly string[] {
    const ports = this.#ports;
    let bound = 0;
    for (let i = 0; i < ports.length; i++)
      if (inputs[ports[i]?.spec.name ?? ""] !== undefined) bound += 2 ** i;
    let byBound = known.get(own);
    if (!byBound) known.set(own, (byBound = new Map()));
    let reads = byBound.get(bound);
    if (!reads) {
      checkRequired(this.#spec, own, (input) => Object.hasOwn(inputs, input), this.#report);
      const names = Object.keys(this.#spec.nodeType.inputs).filter((input) => Object.hasOwn(inputs, input));
      byBound.set(bound, (reads = names.filter((input) => own.reads?.includes(input) ?? true)));
    }
    return reads;
  }

  #id(): StepId {
    const { axes } = this.#layout;
    if (axes.length === 0) return this.#spec.name as StepId;
    let text = `${this.#spec.name}[`;
    for (let i = 0; i < axes.length; i++) {
      text += `${i > 0 ? "," : ""}${axes[i]?.name}=${axes[i]?.labels[this.#labels[i] ?? 0]}`;
    }
    return `${text}]` as StepId;
  }

  #point(): Readonly<Record<string, string>> {
    const point: Record<string, string> = {};
    this.#layout.axes.forEach((axis, i) => (point[axis.name] = axis.labels[this.#labels[i] ?? 0] ?? ""));
    return point;
  }

  #reportBarren(expanded: Expanded, candidates: number): void {
    const { name, range } = this.#spec;
    const upstream = this.#ports.flatMap(({ sources }) =>
      sources.flatMap(({ choices }) =>
        choices.flatMap(({ routes }) => routes.map(({ binding }) => this.#upstream(binding.node))),
      ),
    );
    expanded.barren = upstream.some((node) => node.barren) || this.#trimmedPins.size > 0;
    if (expanded.barren) return;
    if (candidates === 0) {
      this.#report.warn("unused", `trimming leaves no step of \`${name}\``, range, {
        hint: "look at its `only` and `except`, and at `grid.exclude`",
      });
      return;
    }
    expanded.barren = true;
    const empty = this.#ports.flatMap(({ sources }) => sources.filter(({ resolved }) => resolved === 0));
    for (const source of empty) {
      this.#report.error(
        "empty-binding",
        `trimming leaves this input of \`${name}\` without any step`,
        source.range,
        {
          hint: "look at `only`, `except` and `grid.exclude` of the nodes before it",
        },
      );
    }
    if (empty.length === 0) {
      this.#report.error(
        "empty-binding",
        `there is no grid point at which \`${name}\` has all of its inputs`,
        range,
        {
          hint: "its inputs are trimmed to different parts of the grid",
        },
      );
    }
  }
}
