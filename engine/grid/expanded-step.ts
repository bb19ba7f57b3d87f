import type { Resources, Step, StepInput } from "../model/grid.ts";
import type { StepId } from "../model/ids.ts";
import type { JsonObject } from "../model/json.ts";
import type { SlurmOptions } from "../model/slurm.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { NodeType, Shard } from "../sdk.ts";
import { setLabels } from "./layout.ts";
import type { Labels, Layout } from "./layout.ts";
import type { StepSettings } from "./step-settings.ts";
import type { Wiring } from "./wiring.ts";

/** What the steps of a node have in common, and the way from a point number to what is a step's own. */
export class StepFamily {
  readonly spec: NodeSpec;
  readonly layout: Layout;
  readonly #wiring: Wiring;
  /** `axis=label` of every label, by position of the axis. */
  readonly #parts: readonly (readonly string[])[];
  readonly #labels: number[];
  /** The inputs that were asked for last: who asks for one port of a step asks for the next. */
  #last: { readonly point: number; readonly inputs: Step["inputs"] } | undefined;

  constructor(spec: NodeSpec, layout: Layout, wiring: Wiring) {
    this.spec = spec;
    this.layout = layout;
    this.#wiring = wiring;
    this.#parts = layout.axes.map(({ name, labels }) => labels.map((label) => `${name}=${label}`));
    this.#labels = layout.axes.map(() => 0);
  }

  id(labels: Labels): StepId {
    if (this.#parts.length === 0) return this.spec.name as StepId;
    return `${this.spec.name}[${this.#parts.map((parts, i) => parts[labels[i] ?? 0]).join()}]` as StepId;
  }

  idAt(point: number): StepId {
    return this.id(this.#at(point));
  }

  coordinatesAt(point: number): Readonly<Record<string, string>> {
    const labels = this.#at(point);
    return Object.fromEntries(
      this.layout.axes.map((axis, i) => [axis.name, axis.labels[labels[i] ?? 0] ?? ""]),
    );
  }

  inputsAt({ point, reads }: Pick<PointStep, "point" | "reads">): Step["inputs"] {
    if (this.#last?.point !== point) {
      const wired = this.#wiring.at(this.#at(point), { id: () => this.idAt(point), reads: () => reads });
      if (!wired) throw new Error(`internal error: ${this.idAt(point)} has lost its inputs`);
      this.#last = { point, inputs: wired.inputs };
    }
    return this.#last.inputs;
  }

  #at(point: number): Labels {
    setLabels(this.layout, point, this.#labels);
    return this.#labels;
  }
}

/** What expansion finds out about the step, or the shards and the step that joins them, at a point. */
export interface PointStep {
  /** Number of the point in the family's layout. */
  readonly point: number;
  readonly params: JsonObject;
  readonly reads: readonly string[];
  readonly settings: StepSettings;
}

/** What a step is to the others at its point: one that makes a share of the items, or the one that joins them. */
type Part = Pick<Step, "shard" | "shards">;

/**
 * A step of an expanded grid. It holds what it shares with no other step and works out the rest when asked: a grid of
 * 100,000 steps takes a few dozen megabytes.
 */
export class ExpandedStep implements Required<Step> {
  readonly index: number;
  readonly params: JsonObject;
  readonly reads: readonly string[];
  readonly #family: StepFamily;
  readonly #point: number;
  readonly #settings: StepSettings;
  readonly #part: Part | undefined;
  #id: StepId | undefined;

  constructor(family: StepFamily, own: PointStep, index: number, part?: Part) {
    this.index = index;
    this.params = own.params;
    this.reads = own.reads;
    this.#family = family;
    this.#point = own.point;
    this.#settings = own.settings;
    this.#part = part;
    this.#id = undefined;
  }

  get id(): StepId {
    return (this.#id ??= this.#made());
  }

  get node(): string {
    return this.#family.spec.name;
  }

  get nodeType(): NodeType {
    return this.#family.spec.nodeType;
  }

  get point(): Readonly<Record<string, string>> {
    return this.#family.coordinatesAt(this.#point);
  }

  get inputs(): Readonly<Record<string, StepInput>> {
    return this.#family.inputsAt({ point: this.#point, reads: this.reads });
  }

  get seed(): number {
    return this.#settings.seed;
  }

  get resources(): Resources {
    return this.#settings.resources;
  }

  get retries(): number {
    return this.#settings.retries;
  }

  get timeout(): number | undefined {
    return this.#settings.timeout;
  }

  get slurm(): SlurmOptions | undefined {
    return this.#settings.slurm;
  }

  get cache(): boolean {
    return this.#settings.cache;
  }

  get shard(): Shard | undefined {
    return this.#part?.shard;
  }

  get shards(): readonly number[] | undefined {
    return this.#part?.shards;
  }

  #made(): StepId {
    const id = this.#family.idAt(this.#point);
    const { shard } = this;
    return shard ? (`${id}#${shard.index + 1}/${shard.count}` as StepId) : id;
  }
}
