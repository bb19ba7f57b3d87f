import { NodeError } from "../../engine/sdk.ts";

/** What costs one item and not the step: no answer from a server that may well answer the next request. */
export class ItemError extends NodeError {
  /** In a few words that are ours, for reports: a server's own words may repeat what it was sent, its key as well. */
  readonly reason: string;

  constructor(
    message: string,
    options: {
      readonly reason: string;
      readonly hint: string;
      readonly transient: boolean;
      readonly cause?: unknown;
    },
  ) {
    super(message, options);
    this.name = "NodeError";
    this.reason = options.reason;
  }
}
