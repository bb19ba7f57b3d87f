import type { Json } from "../../engine/sdk.ts";
import type { TokenCounts } from "../chat/server.ts";

/** Answers for one caption; a language model, a recording, or rules. */
export interface Rewriter {
  /** How the rewriter is called in reports. */
  readonly label: string;
  /** All that its answers for a caption depend on, besides the caption and the seed. */
  source(caption: string): Json;
  /**
   * One rewrite, free of what a model says around it; empty where it said nothing of use.
   *
   * @param attempt 0 for the first; another answer is wanted where this was rejected
   * @returns undefined where there is no (further) answer
   * @throws ItemError where the source of answers fails at this one
   * @throws NodeError where it fails altogether
   */
  answer(caption: string, attempt: number, signal: AbortSignal): Promise<Answer | undefined>;
  /** Lets go of what it holds. */
  close?(): Promise<void>;
}

export interface Answer {
  readonly text: string;
  /** What it cost, where a model was asked. */
  readonly tokens?: TokenCounts;
}

/** What an answer has to be like. */
export interface AnswerLimits {
  /** Word-modification ratio above this, */
  readonly minWmr: number;
  /** and at most this. */
  readonly maxWmr: number;
  /** How much alike a caption and its rewrite are, and the least that this has to be; absent where nobody asks. */
  readonly likeness?: { readonly min: number; of(caption: string, rewrite: string): number };
}
