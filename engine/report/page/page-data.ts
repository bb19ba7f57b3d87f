/** All that a report page shows, as plain data. */
export interface PageData {
  readonly pipeline: string;
  /** The run as it was named: an id, or `tag (id)`. */
  readonly label: string;
  readonly description?: string;
  /** ms since the epoch. */
  readonly at: number;
  readonly whole: boolean;
  /** Version that wrote the page. */
  readonly ranflow: string;
  readonly reports: readonly PageReport[];
  readonly nodes: readonly PageNode[];
  readonly steps: readonly PageStep[];
  readonly makers: readonly PageMaker[];
  /** Facts about the machine and the programs of the run, in words. */
  readonly environment: readonly (readonly [name: string, value: string])[];
  /** Things that a reader has to know before believing a number. */
  readonly warnings: readonly string[];
  /** Shell commands: the run again, and where a number came from. */
  readonly commands: readonly string[];
  /** The pipeline's files as they were when the run began. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
}

/** A table, figure or sheet, with where it came from. */
export interface PageReport {
  readonly step: string;
  readonly key: string;
  readonly description?: string;
  /** Markdown texts, without those that the figures say better. */
  readonly texts: readonly string[];
  readonly images: readonly PageImage[];
  /** Its files were removed from the store. */
  readonly gone: boolean;
  readonly lineage: readonly LineageRow[];
}

export interface PageImage {
  readonly name: string;
  readonly mediaType: string;
  readonly base64: string;
}

/** The steps of one node that a report was made from. */
export interface LineageRow {
  readonly node: string;
  readonly type: string;
  readonly steps: number;
  /** Keys of their results, shortened; the first few. */
  readonly keys: readonly string[];
  readonly runs: readonly string[];
  /** Names of files outside the store that they read: how many, and the digest of their list. */
  readonly data: readonly string[];
}

/** A node of the graph, with what its steps took. */
export interface PageNode {
  readonly name: string;
  readonly type: string;
  readonly description?: string;
  readonly steps: number;
  /** Names of nodes it reads. */
  readonly reads: readonly string[];
  /** Different results that this run's own execution made, and those that were there or that other steps share. */
  readonly made: number;
  readonly reused: number;
  /** Milliseconds of work behind its results, and the longest. */
  readonly total: number;
  readonly longest: number;
  /** Bytes. */
  readonly memory: number;
}

export interface PageStep {
  readonly step: string;
  readonly key: string;
  readonly run?: string;
  readonly finished?: number;
  /** Milliseconds. */
  readonly duration?: number;
  readonly backend?: string;
}

/** What computed a number of results. */
export interface PageMaker {
  readonly results: number;
  readonly run: string;
  readonly host: string;
  readonly ranflow: string;
  readonly node: string;
  readonly backend: string;
  readonly threads: string;
}
