import type { Coordinates } from "./artifact.ts";
import type { JsonObject } from "./json.ts";
import type { Digest, RecipeKey, StepId } from "./ids.ts";
import type { Shard, SourceRecord } from "../sdk.ts";

/** What a step read on one input port: one artifact, or the collected ones with their coordinates, in order. */
export type FingerprintInput<D> = D | readonly { readonly at: Coordinates; readonly digest: D }[];

/** The relative names and digests of the external files a step's parameters make it read. */
export interface ExternalList {
  /** Digest of the canonical list `[[name, digest], ...]`, which is kept as an object. */
  readonly digest: Digest;
  readonly count: number;
}

/** The structured record of all that may change a step's outputs. Its hash is the step's key. */
export interface Fingerprint {
  readonly type: string;
  readonly version: number;
  /** After defaults; without ephemeral, neutral and path parameters. */
  readonly params: JsonObject;
  /** Only the inputs the node type reads at these parameters. */
  readonly inputs: Readonly<Record<string, FingerprintInput<Digest>>>;
  /** Only for seeded node types. */
  readonly seed?: number;
  /** Only for node types that read external files. */
  readonly external?: ExternalList;
  /** Only for a step that makes a share of another one's items: that one's fingerprint, with this added. */
  readonly shard?: Shard;
  /** Only for a step with `cache: false`: its own id, for it shares its work with no other. */
  readonly uncached?: StepId;
  /** Only for node types that read environment variables: the hashed value of each, null where it is not set. */
  readonly environment?: Readonly<Record<string, Digest | null>>;
  /** Only for node types of plugins: what they are made of. */
  readonly source?: SourceRecord;
}

/** A fingerprint before anything ran: upstream recipes in place of digests, paths in place of external digests. */
export interface Recipe {
  readonly type: string;
  readonly version: number;
  /** As in the fingerprint, with path parameters (absolute) left in. */
  readonly params: JsonObject;
  readonly inputs: Readonly<Record<string, FingerprintInput<`${RecipeKey}.${string}`>>>;
  readonly seed?: number;
  readonly shard?: Shard;
  readonly environment?: Readonly<Record<string, Digest | null>>;
  readonly source?: SourceRecord;
}
