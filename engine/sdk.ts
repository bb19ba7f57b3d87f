/**
 * What a node type is made of. The node library, and a researcher's own nodes, see the engine only through
 * this file.
 */
import type { z } from "zod";
import type { ArtifactRef, BlobRef, Coordinates } from "./model/artifact.ts";
import type { Digest } from "./model/ids.ts";
import type { Json, JsonObject, Scalar } from "./model/json.ts";

export type { ArtifactRef, BlobRef, Coordinates, Digest, Json, JsonObject, Scalar };
export { fillTemplate, namesInTemplate } from "./model/template.ts";

/** The kinds of value that travel between nodes. An output fits an input of the same name. */
export const portTypes = {
  folder: { kind: "folder", summary: "a dataset in its official layout" },
  pairs: { kind: "file", summary: "image-caption records, JSON lines" },
  images: { kind: "file", summary: "labelled image records, JSON lines" },
  questions: { kind: "file", summary: "questions on images with their answers, JSON lines" },
  "clip-model": { kind: "folder", summary: "a CLIP checkpoint: weights, configuration, vocabulary" },
  features: { kind: "folder", summary: "feature vectors with their labels" },
  head: { kind: "folder", summary: "a fine-tuned classification head" },
  tokens: { kind: "folder", summary: "image and text tokens of questions with their answers" },
  "vqa-model": {
    kind: "folder",
    summary: "a trained fusion of image and text with its head: answers questions",
  },
  metrics: { kind: "file", summary: "one flat record of measured values" },
  table: { kind: "file", summary: "rows as JSON lines" },
  report: { kind: "folder", summary: "a table or figure in its file formats" },
  text: { kind: "file", summary: "plain text" },
} as const satisfies Record<string, { kind: "file" | "folder"; summary: string }>;

/** Any artifact at all. Inputs only. */
export const anyType = "any";

/** The name of a port type of a researcher's own: it has a dot, so that it never meets one of ours. */
export type OwnPortType = `${string}.${string}`;

export type PortType = keyof typeof portTypes | typeof anyType | OwnPortType;

/** An input or output of a node type. */
export interface Port {
  readonly type: PortType;
  /** What an artifact of this type is. For port types of one's own, which need it; ours have theirs in `portTypes`. */
  readonly kind?: "file" | "folder";
  /** The step may do without it. Inputs only. */
  readonly optional?: boolean;
  /** Takes a list of bindings or a `collect`. Inputs only. */
  readonly many?: boolean;
  readonly description?: string;
}

/**
 * Declares a port: `port("pairs")`, `port("metrics", { many: true })`; of a type of one's own,
 * `port("lab.spectrum", { kind: "file" })`.
 */
export function port<const O extends Omit<Port, "type"> & Required<Pick<Port, "kind">>>(
  type: OwnPortType,
  options: O,
): Port & O;
export function port<const O extends Omit<Port, "type" | "kind">>(
  type: Exclude<PortType, OwnPortType>,
  options?: O,
): Port & O;
export function port(type: PortType, options?: Omit<Port, "type">): Port {
  return { type, ...options };
}

/** Whether an artifact on a port is one file or a folder of files. */
export function portKind({ kind, type }: Port): "file" | "folder" {
  return (
    kind ??
    (portTypes as Readonly<Record<string, { readonly kind: "file" | "folder" }>>)[type]?.kind ??
    "file"
  );
}

/** What a port holds, in a few words. */
export function portSummary({ description, type, kind = "file" }: Port): string {
  if (description !== undefined) return description;
  if (type === anyType) return "any artifact";
  const known = (portTypes as Readonly<Record<string, { readonly summary: string }>>)[type];
  return known?.summary ?? `a ${kind} of a type of its own`;
}

/**
 * What a parameter's `.meta()` may say besides zod's own fields.
 * Put it last in the chain: `z.number().default(8 / 255).meta({ unit: "ratio" })`.
 */
export interface ParamMeta {
  readonly description?: string;
  /** `%` reads `30%` as 30; `ratio` reads `30%` as 0.3 and `8/255` as a quotient; others are shown only. */
  readonly unit?: string;
  /** Cannot change results: stays out of the fingerprint. */
  readonly ephemeral?: boolean;
  /** At this value the parameter is left out of the fingerprint, so that adding it reran nothing. */
  readonly neutral?: Json;
  /**
   * A file or folder. Resolved against the file that wrote it, and left out of the fingerprint: what is read
   * there enters by content, through `scan`.
   */
  readonly path?: boolean;
  /** The *name* of an environment variable that holds a secret. Implies `ephemeral`. */
  readonly secretEnv?: boolean;
  /**
   * Text that the step fills in, with `fillTemplate`: `$(in.PORT)`, `$(out.PORT)`, `$(scratch)` and `$(seed)` stay in
   * it. Numbers and booleans count as text, as they are written.
   */
  readonly template?: boolean;
}

/** A problem the node can explain to the user: bad data, a server that is down. Any other throw is a bug. */
export class NodeError extends Error {
  readonly hint: string | undefined;
  /** Worth trying again: a server that was busy, a network that failed. */
  readonly transient: boolean;
  /** What to show beneath the message in place of this error's stack: the last lines a program wrote. */
  readonly detail: string | undefined;

  constructor(
    message: string,
    options: {
      hint?: string | undefined;
      cause?: unknown;
      transient?: boolean;
      detail?: string | undefined;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "NodeError";
    this.hint = options.hint;
    this.transient = options.transient ?? false;
    this.detail = options.detail;
  }
}

/** A file that can be read now, with its content's name. */
export interface LocatedFile extends BlobRef {
  /** Absolute path. The file is read-only: never write to it. */
  readonly path: string;
}

/** An artifact to read. */
export interface InputArtifact extends ArtifactRef {
  /** Absolute path of a file artifact. Absent for folders, whose files lie in the store by content. */
  readonly path: string;
  /** Files of a folder artifact by relative POSIX path, sorted. Empty for a file artifact. */
  readonly files: ReadonlyMap<string, LocatedFile>;
  /** The file at a relative path of a folder artifact; a `NodeError` where there is none. */
  file(name: string): LocatedFile;
}

/** A collected artifact with its place in the grid. */
export interface CollectedArtifact {
  readonly at: Coordinates;
  readonly artifact: InputArtifact;
}

/** Where a step writes an output: a private place that becomes an artifact when the step succeeds. */
export interface OutputArtifact {
  /** Absolute path. File port: write this file. Folder port: an existing empty folder, fill it. */
  readonly path: string;
}

type InputValue<P extends Port> = P extends { many: true }
  ? readonly CollectedArtifact[]
  : P extends { optional: true }
    ? InputArtifact | undefined
    : InputArtifact;

export interface StepProgress {
  /** `progress(done, total, { loss })`: bar, rate, ETA and sparklines. Throttled by the engine: call it freely. */
  (done: number, total: number, series?: Readonly<Record<string, number>>, unit?: string): void;
}

/** Keeps a step's state over interruptions. Folders are replaced atomically: the last complete one is found. */
export interface StepCheckpoint {
  /** Folder of the last checkpoint; undefined on a fresh start. */
  restore(): Promise<string | undefined>;
  /** True every `checkpointMinutes` (5 unless told), and when the run is stopping. Cheap: ask every iteration. */
  due(): boolean;
  /** Writes a checkpoint: `write` fills an empty folder. */
  save(write: (folder: string) => Promise<void>): Promise<void>;
}

/** Results per item, kept across steps, runs and crashes. Keys are hashed with the node type and its version. */
export interface StepMemo {
  /** For each key, the kept value or undefined. */
  get(keys: readonly Json[]): Promise<readonly (Json | undefined)[]>;
  put(entries: readonly { readonly key: Json; readonly value: Json }[]): Promise<void>;
}

/** Bytes that records name by digest (images). */
export interface StepBlobs {
  /** Puts bytes into the store. Same bytes, same ref. */
  put(bytes: Uint8Array): Promise<BlobRef>;
  /** For each blob, whether its bytes can be found now: what a memo names may have been collected as garbage. */
  has(refs: readonly BlobRef[]): Promise<readonly boolean[]>;
  /**
   * Finds where blobs lie now, in the order asked. A blob that cannot be found is a `NodeError` that names the
   * dataset, the last known path and the fix.
   */
  locate(refs: readonly BlobRef[]): Promise<readonly LocatedFile[]>;
}

/** External files that a step's parameters make it read. */
export interface ScanResult {
  /** Name of the dataset, for messages. */
  readonly dataset: string;
  /** Absolute folder. Moving it reruns nothing. */
  readonly root: string;
  /** POSIX paths relative to `root`, without duplicates. The engine hashes them. */
  readonly files: readonly string[];
}

export interface ScanContext<P> {
  readonly params: P;
  readonly signal: AbortSignal;
  log(message: string): void;
}

/** Which compute backend the run asks for. Read by the node library's compute runtime, never by the engine. */
export interface ComputeRequest {
  /** `auto`, or the name given with `--backend`. */
  readonly backend: string;
  /** Compute threads per worker. */
  readonly threads: number;
}

/** A share of the items of an itemwise step. */
export interface Shard {
  /** From 0. */
  readonly index: number;
  /** Number of shares. */
  readonly count: number;
}

export interface RunContext<
  P = JsonObject,
  I extends Readonly<Record<string, Port>> = Readonly<Record<string, Port>>,
  O extends Readonly<Record<string, Port>> = Readonly<Record<string, Port>>,
> {
  readonly params: P;
  /** Inputs that are not read at these parameters are absent, even where a binding exists. */
  readonly inputs: { readonly [K in keyof I]: InputValue<I[K]> };
  readonly outputs: { readonly [K in keyof O]: OutputArtifact };
  /** The files that `scan` named, by their name, hashed. Empty for node types without `scan`. */
  readonly external: ReadonlyMap<string, LocatedFile>;
  /** Derive streams with `randomStream` from (seed, purpose, item id), never from ids of nodes or steps. */
  readonly seed: number;
  /**
   * Aborts when the step is cancelled or the run stops. Save a checkpoint if there is one, then throw. News of it
   * comes in between turns of the event loop: a long computation lets one pass (`setImmediate`) every second or so.
   */
  readonly signal: AbortSignal;
  readonly progress: StepProgress;
  log(message: string, level?: "info" | "warning"): void;
  readonly memo: StepMemo;
  /**
   * Set where only a share of the items is wanted (itemwise node types alone): leave their results in the memo and
   * write no outputs. The step that is split up then finds all of them there, or makes what is missing.
   */
  readonly shard?: Shard;
  /** `variant` keeps apart states that must not be mixed, for instance backend and thread count. */
  checkpoint(variant: string): StepCheckpoint;
  readonly blobs: StepBlobs;
  readonly compute: ComputeRequest;
  /**
   * Recorded with the result and shown by `ranflow show`: backend, threads, library versions. No part of the key.
   * `stored: { bytes }` is what the step keeps in the store besides its outputs, such as images that these name.
   * `lacks: { what, passing }` is what an itemwise step has nothing for, in words, and for how many items another time may
   * help: every run that has the result says so, and so does its page.
   */
  provenance(entry: JsonObject): void;
  /** Reads the environment variable that a `secretEnv` parameter names; its value is redacted everywhere. */
  secret(variable: string): string | undefined;
  /** An empty private folder for scratch files, removed after the step. */
  readonly scratch: string;
}

/** What of a node its ports may follow from. */
export interface NodeOutline {
  /** The inputs that are bound; `many` where one is bound to a list or a `collect`. */
  readonly inputs: Readonly<Record<string, { readonly many: boolean }>>;
  /** The parameters that `from` names, checked. */
  readonly params: JsonObject;
}

/** Ports that each node decides by its own fields, in place of fixed ones. */
export interface NodePorts {
  /** Parameters that the ports follow from: they stand in the node itself and mention no axis. */
  readonly from: readonly string[];
  readonly derive: (node: NodeOutline) => {
    readonly inputs: Readonly<Record<string, Port>>;
    readonly outputs: Readonly<Record<string, Port>>;
  };
}

/** Where a plugin's node type comes from: what the worker loads, and what enters the key. Set by the engine. */
export interface PluginSource {
  /** Absolute path of the plugin's module. No part of the key. */
  readonly path: string;
  readonly source: SourceRecord;
}

/** The source that a plugin's node types are made of. */
export interface SourceRecord {
  /** Digests of the module and of the local files it imports, by POSIX path relative to the module's folder. */
  readonly files: Readonly<Record<string, Digest>>;
  /** Versions of the packages that they import, by name; several of one where they find different ones. */
  readonly packages: Readonly<Record<string, string>>;
}

/** What a step has to do, as far as it is known. */
export interface StepWork<P> {
  readonly params: P;
  /** Bytes that the step reads on an input; 0 where it reads nothing there, NaN where they are not known. */
  bytes(input: string): number;
  /** Bytes of the step's outputs, for `time`; NaN where they are not known. */
  readonly written: number;
}

/**
 * What the time and the outputs of a step grow with, so that `plan` can tell from steps that ran what others will take. Only
 * the ratio of two steps' values counts. Without it, steps of the type are taken to be alike.
 */
export interface StepGrowth<P> {
  /** Grows as the time does. */
  readonly time?: (work: StepWork<P>) => number;
  /** Grows as the bytes of the outputs do. */
  readonly space?: (work: StepWork<P>) => number;
  /** Bytes of the outputs that the type can tell without a step that ran, such as those of a published dataset. */
  readonly published?: (params: P) => number | undefined;
  /** Steps say something about each other only where this is equal: who does the work, for instance. */
  readonly kind?: (params: P) => string;
}

/** A node type: name, version, parameter schema, ports and the work. */
export interface NodeDefinition<
  S extends z.ZodObject,
  I extends Readonly<Record<string, Port>>,
  O extends Readonly<Record<string, Port>>,
> {
  /** `family.name`, for instance `noise.mix`. */
  readonly type: string;
  /** Raise it when the outputs for the same inputs change. */
  readonly version: number;
  /** One sentence, present tense, no full stop. */
  readonly summary: string;
  /** Paragraphs for the node reference: what is computed, formulas with their source. */
  readonly details?: string;
  readonly inputs: I;
  readonly outputs: O;
  readonly params: S;
  /** Names of the inputs that are read at these parameters. Default: all that are bound. */
  readonly reads?: (params: z.output<S>) => readonly (keyof I & string)[];
  /** A problem with the parameters that a schema cannot express; undefined where there is none. */
  readonly check?: (params: z.output<S>) => string | undefined;
  /** A problem with which inputs are bound at these parameters; undefined where there is none. */
  readonly checkInputs?: (params: z.output<S>, bound: readonly string[]) => string | undefined;
  /** The step's seed enters the fingerprint: always, or at these parameters. */
  readonly seeded?: boolean | ((params: z.output<S>) => boolean);
  /** Ports that a node of this type decides itself; `inputs` and `outputs` are then empty. */
  readonly ports?: NodePorts;
  /** Names of environment variables that the step reads at these parameters: their values belong to the key, hashed. */
  readonly environment?: (params: z.output<S>) => readonly string[];
  /**
   * What becomes of an item depends on the item, the parameters and the seed alone, and is kept in the memo: the node
   * may be split with `shards`, and `run` heeds `context.shard`.
   */
  readonly itemwise?: boolean;
  /** Names the external files that the parameters make the step read. */
  readonly scan?: (context: ScanContext<z.output<S>>) => Promise<ScanResult | undefined>;
  /** Whether there is anything to scan at these parameters. Default: where a path parameter is set. */
  readonly scans?: (params: z.output<S>) => boolean;
  /**
   * Whether `run`, at these parameters, reads copies of the external files, and sees itself that they are those which the
   * scan named. Otherwise the step fails where a file whose path it asked for has other bytes in the end.
   */
  readonly copiesExternal?: (params: z.output<S>) => boolean;
  readonly growth?: StepGrowth<z.output<S>>;
  /** Default resources: `{ cpu: 1 }` unless told. `memory` in bytes. */
  readonly resources?: { readonly cpu?: number; readonly memory?: number; readonly gpu?: number };
  run(context: RunContext<z.output<S>, I, O>): Promise<void>;
}

/** A node type whose own types are forgotten, as the engine handles it. */
export interface NodeType {
  readonly type: string;
  readonly version: number;
  readonly summary: string;
  readonly details?: string;
  readonly inputs: Readonly<Record<string, Port>>;
  readonly outputs: Readonly<Record<string, Port>>;
  readonly params: z.ZodObject;
  readonly reads?: (params: never) => readonly string[];
  readonly check?: (params: never) => string | undefined;
  readonly checkInputs?: (params: never, bound: readonly string[]) => string | undefined;
  readonly seeded?: boolean | ((params: never) => boolean);
  readonly ports?: NodePorts;
  readonly environment?: (params: never) => readonly string[];
  readonly itemwise?: boolean;
  readonly scan?: (context: ScanContext<never>) => Promise<ScanResult | undefined>;
  readonly scans?: (params: never) => boolean;
  readonly copiesExternal?: (params: never) => boolean;
  readonly growth?: StepGrowth<never>;
  /** Set by the engine for node types of plugins. */
  readonly plugin?: PluginSource;
  readonly resources?: { readonly cpu?: number; readonly memory?: number; readonly gpu?: number };
  run(context: RunContext<never, never, never>): Promise<void>;
}

/** Defines a node type. Keep heavy imports (tfjs, sharp, vega) inside `run`, by dynamic import. */
export function defineNode<
  S extends z.ZodObject,
  const I extends Readonly<Record<string, Port>>,
  const O extends Readonly<Record<string, Port>>,
>(definition: NodeDefinition<S, I, O>): NodeType {
  return definition;
}

/** Node types by name, each loaded when it is first asked for: a command pays for those that its pipeline names. */
export interface NodeLibrary {
  readonly names: readonly string[];
  get(name: string): Promise<NodeType | undefined>;
}
