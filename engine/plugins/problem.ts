import { NodeError } from "../sdk.ts";

/** Why a plugin cannot be used, in words for the user. */
export class PluginProblem extends NodeError {
  /** The file that is not there, where that is the problem. */
  readonly missing: string | undefined;

  constructor(
    message: string,
    options: {
      readonly hint?: string | undefined;
      readonly missing?: string | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options);
    this.missing = options.missing;
  }
}
