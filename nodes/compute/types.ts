import type * as tfjs from "@tensorflow/tfjs-core";

export type BackendName = "tensorflow" | "wasm" | "cpu";

/** A loaded compute backend: the one way for a node to get at tfjs. */
export interface Runtime {
  readonly tf: typeof tfjs;
  readonly backend: BackendName;
  /** Compute threads, as fixed when the process started. */
  readonly threads: number;
  /** For the result's provenance: backend, device, threads, library versions. */
  readonly provenance: Readonly<Record<string, string | number>>;
}
