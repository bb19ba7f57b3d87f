import type { BlobRef, Json, Port, RunContext } from "../../engine/sdk.ts";
import type { TokenCounts } from "../chat/server.ts";
import type { VlmParams } from "../external-vlm.ts";
import type { ImageText } from "../formats.ts";

export type VlmContext = RunContext<
  VlmParams,
  { readonly pairs: Port },
  { readonly pairs: Port; readonly report: Port; readonly metrics: Port }
>;

/** What a model made of an item. */
export type VlmAnswer = VlmOutcome & { readonly attempts: number; readonly tokens: TokenCounts };

type VlmOutcome =
  | { readonly text: string }
  | { readonly image: BlobRef }
  | {
      /** Why there is none, in words of ours. */
      readonly failed: string;
      /** Another time may answer: not kept. */
      readonly passing: boolean;
      /** What to tell where items may not fail. */
      readonly message: string;
    };

/** Captions of images, or images from captions: a server, a program, or a recording. */
export interface Vlm {
  readonly label: string;
  /** All that an answer depends on besides the item. */
  source(pair: ImageText): Json;
  /** How many items are asked about and kept together. */
  readonly atOnce: number;
  /**
   * Answers in the order of the items.
   *
   * @param onAnswer called for each item that is done
   * @throws NodeError where no item can be answered
   */
  answer(
    pairs: readonly ImageText[],
    onAnswer: () => void,
    signal: AbortSignal,
  ): Promise<readonly VlmAnswer[]>;
}

export const noTokens: TokenCounts = { prompt: 0, completion: 0 };
