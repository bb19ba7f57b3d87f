import { NodeError } from "../sdk.ts";

/** A line of a plugin's source. */
export interface PluginPlace {
  /** Relative to the plugin's folder. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** From 1. */
  readonly line: number;
  /** From 1; absent where only the line is known. */
  readonly column?: number;
}

/** Why a plugin cannot be used, in words for the user. */
export class PluginProblem extends NodeError {
  /** Where it comes from. */
  readonly place: PluginPlace | undefined;

  constructor(
    message: string,
    options: {
      readonly hint?: string | undefined;
      readonly place?: PluginPlace | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options);
    this.place = options.place;
  }
}
