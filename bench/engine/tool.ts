import type { Graph } from "./graph.ts";

export const measurements = ["plan", "first", "noop", "change"] as const;
/** `plan` says what would run, of all hits; `first` runs all; `noop` runs nothing; `change` runs what one edit touches. */
export type Measurement = (typeof measurements)[number];

/** A program that runs the graph, with two steps at a time where it can. */
export interface Tool {
  readonly name: string;
  readonly version: string;
  /** Graphs with more steps take too long to be measured. */
  readonly largest: number;
  /** Writes all that the tool needs into an empty folder. */
  prepare(graph: Graph, folder: string): Promise<void>;
  /** Makes the text of one group another: `edition` counts from 1. */
  edit(graph: Graph, folder: string, edition: number): Promise<void>;
  /** What is run in the folder. */
  command(measurement: Measurement): readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A tool that is not there, and why. */
export interface Absent {
  readonly name: string;
  readonly why: string;
}
