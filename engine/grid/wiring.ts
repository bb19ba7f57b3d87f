import type { CollectedItem, StepInput } from "../model/grid.ts";
import type { SourceRange } from "../model/source.ts";
import type { NodeSpec, PortSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";
import { subsetKey } from "./layout.ts";
import type { Labels, Layout } from "./layout.ts";
import { routeOf } from "./route.ts";
import type { Route } from "./route.ts";
import { takenAxes } from "./taken-axes.ts";

/** A node with its steps. */
export interface ExpandedNode {
  readonly spec: NodeSpec;
  readonly layout: Layout;
  /** Point number -> index of the step; -1 where it is trimmed. */
  readonly steps: Int32Array;
  readonly live: number;
  /** The node has no steps, for a reason that is reported. */
  readonly barren: boolean;
}

/** The inputs of a step that is not trimmed. */
export interface WiredInputs {
  /** Without those that are not read and that trimming leaves no step. */
  readonly inputs: Readonly<Record<string, StepInput>>;
  /** Bit i: the node's i-th port is bound, or would be but for a mistake that is reported. */
  readonly bound: number;
}

/** A source of an input with its routes, by choice. */
interface Source {
  readonly keyOf: (labels: Labels) => number;
  readonly choices: readonly {
    readonly routes: readonly { readonly route: Route; readonly upstream: ExpandedNode }[];
    readonly problems: Report | undefined;
  }[];
  readonly range: SourceRange;
  /** Number of points at which the source gave what it should. */
  resolved: number;
}

/**
 * How an `at` failed: it names a trimmed step, and other labels of the pinned axes would have had one, or it names
 * several.
 */
interface BadPin {
  readonly outcome: "trimmed-pin" | "ambiguous-pin";
  readonly route: Route;
  readonly upstream: ExpandedNode;
}

/** What the wiring asks of the step at a grid point, where it matters. */
interface PointInfo {
  readonly id: () => string;
  readonly reads: () => readonly string[] | undefined;
}

/** Finds, at each grid point of a node, the upstream steps that its inputs mean. */
export class Wiring {
  readonly #report: Report;
  readonly #ports: readonly { readonly spec: PortSpec; readonly sources: readonly Source[] }[];
  readonly #reportedPins = new Set<SourceRange>();

  constructor(
    spec: NodeSpec,
    layout: Layout,
    options: { readonly upstream: (node: string) => ExpandedNode; readonly report: Report },
  ) {
    this.#report = options.report;
    this.#ports = spec.ports.map((port) => ({
      spec: port,
      sources: port.sources.map((source) => ({
        keyOf: subsetKey(layout, source.axes),
        choices: source.choices.map(({ bindings, problems }) => ({
          routes: bindings.map((binding) => {
            const upstream = options.upstream(binding.node);
            return { route: routeOf(binding, layout, upstream.layout, spec.namespace), upstream };
          }),
          problems,
        })),
        range: source.range,
        resolved: 0,
      })),
    }));
  }

  /**
   * The inputs at a grid point; undefined where one that is read has no step left, so that the step is trimmed too.
   *
   * @param step at this point: its id, for messages, and the inputs that it reads, undefined for all
   */
  at(labels: Labels, { id, reads }: PointInfo): WiredInputs | undefined {
    const inputs: Record<string, StepInput> = {};
    const pins: BadPin[] = [];
    const chosen: Report[] = [];
    let bound = 0;
    let complete = true;
    for (let i = 0; i < this.#ports.length; i++) {
      const port = this.#ports[i];
      if (!port) continue;
      const items: CollectedItem[] = [];
      let number = 0;
      let isBound = false;
      let isTrimmed = false;
      for (const source of port.sources) {
        const choice = source.choices[source.keyOf(labels)];
        if (!choice) throw new Error("internal error: a binding without a choice for its labels");
        if (choice.problems) chosen.push(choice.problems);
        if (choice.routes.length > 0 || choice.problems) isBound = true;
        let found = true;
        for (const { route, upstream } of choice.routes) {
          const outcome = follow(route, upstream, labels, number++, items);
          if (outcome !== "found") found = false;
          if (outcome === "trimmed") isTrimmed = true;
          if (outcome === "trimmed-pin" || outcome === "ambiguous-pin")
            pins.push({ outcome, route, upstream });
        }
        if (found) source.resolved++;
      }
      if (!isBound) continue;
      bound += 2 ** i;
      if (isTrimmed) {
        complete &&= reads()?.includes(port.spec.name) === false;
        continue;
      }
      const [first] = items;
      if (port.spec.port.many) inputs[port.spec.name] = { kind: "many", items };
      else if (first) inputs[port.spec.name] = { kind: "one", step: first.step, port: first.port };
    }
    if (!complete) return undefined;
    for (const pin of pins) this.#reportPin(pin, id);
    // A value without the wanted field is a mistake only now that the step is known to survive.
    for (const problems of chosen) for (const problem of problems.all()) this.#report.add(problem);
    return pins.length > 0 ? undefined : { inputs, bound };
  }

  /** Says why no point of the node has all of its inputs; true once it is reported, here or upstream. */
  reportBarren({ name, range }: NodeSpec): void {
    const sources = this.#ports.flatMap((port) => port.sources);
    const upstream = sources.flatMap(({ choices }) => choices.flatMap(({ routes }) => routes));
    if (this.#reportedPins.size > 0 || upstream.some((route) => route.upstream.barren)) return;
    const empty = sources.filter(({ resolved }) => resolved === 0);
    for (const source of empty) {
      this.#report.error(
        "empty-binding",
        `trimming leaves this input of \`${name}\` without any step`,
        source.range,
        { hint: "look at `only`, `except` and `grid.exclude` of the nodes before it" },
      );
    }
    if (empty.length > 0) return;
    this.#report.error(
      "empty-binding",
      `there is no grid point at which \`${name}\` has all of its inputs`,
      range,
      {
        hint: "its inputs are trimmed to different parts of the grid",
      },
    );
  }

  #reportPin({ outcome, route: { binding }, upstream }: BadPin, id: () => string): void {
    if (this.#reportedPins.has(binding.range)) return;
    this.#reportedPins.add(binding.range);
    const { axes } = upstream.layout;
    const pins = axes.flatMap(({ labels, name }) => {
      const label = binding.at.get(name);
      return label === undefined ? [] : `${name}=${labels[label]}`;
    });
    const pinned = `\`${id()}\` pins \`${binding.node}\` to ${pins.join(", ")}, and`;
    const related = [{ message: `\`${binding.node}\` is defined here`, location: upstream.spec.range }];
    if (outcome === "trimmed-pin") {
      const hint = "pin another label, or do not trim this one";
      this.#report.error("trimmed-step", `${pinned} that step is trimmed`, binding.range, { hint, related });
      return;
    }
    const open = takenAxes(binding, axes).filter(({ name }) => !binding.at.has(name));
    const hint = `pin ${open.map(({ name }) => `\`${name}\``).join(" and ")} as well`;
    this.#report.error("ambiguous-pin", `${pinned} several steps have that`, binding.range, {
      hint,
      related,
    });
  }
}

/** Appends the upstream steps that a route means at a grid point. */
function follow(
  { base: baseAt, binding, coordinates, offsets, siblings }: Route,
  { steps }: ExpandedNode,
  labels: Labels,
  number: number,
  items: CollectedItem[],
): "found" | "trimmed" | BadPin["outcome"] {
  const base = baseAt(labels);
  let found = 0;
  for (let i = 0; i < offsets.length; i++) {
    const step = steps[base + (offsets[i] ?? 0)] ?? -1;
    if (step < 0) continue;
    found++;
    items.push({ step, port: binding.port, at: coordinates[i] ?? {}, binding: number });
  }
  if (binding.over !== undefined) return found > 0 ? "found" : "trimmed";
  if (found > 0) return found > 1 ? "ambiguous-pin" : "found";
  // Where nothing at all is left of the upstream at this point, trimming has simply arrived here.
  return siblings.some((offset) => (steps[base + offset] ?? -1) >= 0) ? "trimmed-pin" : "trimmed";
}
