import type { Coordinates } from "./artifact.ts";
import type { JsonObject } from "./json.ts";
import type { StepId } from "./ids.ts";
import type { SlurmOptions } from "./slurm.ts";
import type { SourceRange } from "./source.ts";
import type { NodeType, Shard } from "../sdk.ts";

/** What a step reads on one input port. Steps are named by their index in `Grid.steps`. */
export type StepInput =
  | { readonly kind: "one"; readonly step: number; readonly port: string }
  | {
      readonly kind: "many";
      /** In declaration order of the axes, then of the list of bindings. */
      readonly items: readonly CollectedItem[];
    };

/** An artifact of an input that takes many. */
export interface CollectedItem {
  readonly step: number;
  readonly port: string;
  readonly at: Coordinates;
  /** Number of the binding that it comes by, among those of the input: one node may be bound more than once. */
  readonly binding: number;
}

/** What a step may use while it runs. */
export interface Resources {
  readonly cpu: number;
  /** Bytes; 0 where the node says nothing. */
  readonly memory: number;
  readonly gpu: number;
  /** Any other named resource. */
  readonly other: Readonly<Record<string, number>>;
}

/** One node at one grid point. What it holds may be worked out when asked for: read a field once and keep it. */
export interface Step {
  readonly index: number;
  readonly id: StepId;
  /** Name of the node in the pipeline. */
  readonly node: string;
  readonly nodeType: NodeType;
  /** Label of each of the step's axes, in declaration order of the axes. */
  readonly point: Readonly<Record<string, string>>;
  /** Checked by the node type's schema, defaults filled in, paths absolute. */
  readonly params: JsonObject;
  /** Every bound input, whether or not the node type reads it at these parameters. */
  readonly inputs: Readonly<Record<string, StepInput>>;
  /** Names of the inputs that are read at these parameters, and so enter the fingerprint. */
  readonly reads: readonly string[];
  readonly seed: number;
  readonly resources: Resources;
  readonly retries: number;
  /** Milliseconds; absent for none. */
  readonly timeout?: number | undefined;
  /** What it asks of Slurm; absent where it runs on this machine. */
  readonly slurm?: SlurmOptions | undefined;
  /** False for `cache: false`: the step runs every time. */
  readonly cache: boolean;
  /** Set where the step makes a share of the items of another step of its node, the one that lists it in `shards`. */
  readonly shard?: Shard | undefined;
  /** Indices of the steps that make this step's items, before it joins them; absent where it makes them itself. */
  readonly shards?: readonly number[] | undefined;
}

/** One node of the pipeline, with its place in the expanded grid. */
export interface GridNode {
  readonly name: string;
  readonly type: string;
  readonly description?: string;
  /** The node's axes in declaration order. */
  readonly axes: readonly string[];
  /** Indices of the node's steps, consecutive and in declaration order of the axes; shards first. */
  readonly steps: readonly number[];
  /** Points at the node's name in the YAML; failures while running point back here. */
  readonly location: SourceRange;
}

/** A pipeline whose axes are expanded: what is planned and run. */
export interface Grid {
  readonly pipeline: string;
  /** Absolute path of the pipeline's file. */
  readonly path: string;
  readonly description?: string;
  /** Axis name -> labels, in declaration order. */
  readonly axes: Readonly<Record<string, readonly string[]>>;
  /** Topological order: a node comes after the nodes it reads. */
  readonly nodes: readonly GridNode[];
  /** Topological order: a step comes after the steps it reads. */
  readonly steps: readonly Step[];
}
