/**
 * What the driver and a worker say to each other: JSON only, over IPC here, over files on a cluster later.
 * Workers never open LMDB; they read and write object files, and ask the driver for the rest.
 */
import type { ArtifactRef, Coordinates } from "./artifact.ts";
import type { ExternalList } from "./fingerprint.ts";
import type { Digest, StepId } from "./ids.ts";
import type { Json, JsonObject } from "./json.ts";
import type { StepError } from "./events.ts";
import type { PluginSource, Shard } from "../sdk.ts";

/** Where a blob's bytes are now. */
export type Locator =
  /** In the store's objects. */
  | { readonly kind: "object" }
  /** In a dataset folder; `isSeen` where the file is known to be as it was when these bytes were read from it. */
  | {
      readonly kind: "external";
      readonly root: string;
      readonly name: string;
      readonly dataset: string;
      readonly isSeen: boolean;
    };

/** A file's identity for the stat cache: `[size, mtimeNs, ctimeNs, inode]`, as strings. */
export type FileStat = readonly [size: string, mtimeNs: string, ctimeNs: string, inode: string];

/** Work the driver gives a worker. One at a time per worker. */
export type WorkerRequest =
  /** Find and hash the external files of a step. */
  | {
      readonly kind: "scan";
      readonly request: number;
      readonly step: StepId;
      readonly type: string;
      /** Where the type comes from, if it is a plugin's. */
      readonly plugin?: PluginSource;
      readonly params: JsonObject;
    }
  /** Run a step. */
  | {
      readonly kind: "run";
      readonly request: number;
      readonly step: StepId;
      readonly type: string;
      /** Where the type comes from, if it is a plugin's. */
      readonly plugin?: PluginSource;
      readonly params: JsonObject;
      readonly inputs: Readonly<
        Record<string, ArtifactRef | readonly { readonly at: Coordinates; readonly artifact: ArtifactRef }[]>
      >;
      /** From the step's own scan. */
      readonly external?: { readonly root: string; readonly list: ExternalList };
      readonly seed: number;
      /** Only this share of the items, into the memo; no outputs. */
      readonly shard?: Shard;
      /** The step runs in spite of a result: memo entries from before this time (ms since the epoch) do not count. */
      readonly memoSince?: number;
      /** The step's key: names its checkpoint folder. */
      readonly key: string;
      readonly compute: { readonly backend: string; readonly threads: number };
      readonly checkpointMinutes: number;
      readonly gpus: readonly number[];
    };

/** What the driver says to a worker besides requests. */
export type DriverMessage =
  | WorkerRequest
  /** Answer to an ask; `ask` repeats its number. A `problem` says why the store could not do it. */
  | {
      readonly kind: "answer";
      readonly ask: number;
      readonly value: Json;
      readonly problem?: { readonly message: string; readonly hint: string };
    }
  /** Stop the running request: `checkpoint` lets it save first. */
  | { readonly kind: "cancel"; readonly request: number; readonly how: "checkpoint" | "now" };

/** Something the worker needs from the store's index. */
export type WorkerAsk =
  | { readonly what: "locate"; readonly digests: readonly Digest[] }
  /** Entries put before `since` count as absent. */
  | { readonly what: "memo-get"; readonly keys: readonly string[]; readonly since?: number }
  | { readonly what: "memo-put"; readonly entries: readonly (readonly [key: string, value: Json])[] }
  | { readonly what: "stat-get"; readonly files: readonly (readonly [path: string, stat: FileStat])[] }
  | {
      readonly what: "stat-put";
      readonly files: readonly (readonly [path: string, stat: FileStat, digest: Digest])[];
      /** When they were looked at, before they were hashed, ms since the epoch. */
      readonly at: number;
    };

/** What a worker says to the driver. */
export type WorkerMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "ask"; readonly ask: number; readonly question: WorkerAsk }
  | {
      readonly kind: "progress";
      readonly request: number;
      readonly done: number;
      readonly total: number;
      readonly unit?: string;
      readonly series?: Readonly<Record<string, number>>;
    }
  | {
      readonly kind: "log";
      readonly request: number;
      readonly level: "info" | "warning";
      readonly message: string;
    }
  | {
      readonly kind: "scanned";
      readonly request: number;
      /** Undefined where the parameters name no external files. */
      readonly external?: { readonly root: string; readonly dataset: string; readonly list: ExternalList };
    }
  | {
      readonly kind: "done";
      readonly request: number;
      readonly outputs: Readonly<Record<string, ArtifactRef>>;
      readonly provenance: JsonObject;
      readonly peakMemory: number;
      /** Bytes resident when the step was over: what a warm worker would keep. */
      readonly residentMemory: number;
    }
  | {
      readonly kind: "failed";
      readonly request: number;
      readonly error: StepError;
      readonly transient: boolean;
    }
  | { readonly kind: "cancelled"; readonly request: number; readonly checkpointed: boolean };
