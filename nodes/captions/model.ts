import type { Json, StepMemo } from "../../engine/sdk.ts";
import type { Chat, ChatAnswer } from "../chat/server.ts";
import { captionInAnswer, fillTemplate } from "./prompt.ts";
import type { Rewriter } from "./rewriter.ts";

/** What to ask of a language model. */
export interface ModelOptions {
  /** How the rewriter is called, and what tells its model from others. */
  readonly label: string;
  readonly model: Json;
  readonly template: string;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly seed: number;
  readonly memo: StepMemo;
}

/**
 * Answers from a language model. They are kept by prompt and settings, so that an interrupted step, or a larger share,
 * asks only for new captions.
 */
export function modelRewriter(chat: Chat, options: ModelOptions): Rewriter {
  const { label, model, template, temperature, maxTokens, memo } = options;
  return {
    label,
    source: () => ({ model, template, temperature, maxTokens }),
    async answer(caption, attempt, signal) {
      const seed = options.seed + attempt;
      const prompt = fillTemplate(template, caption);
      const key: Json = { answer: { model, prompt, temperature, maxTokens, seed } };
      const [kept] = (await memo.get([key])) as readonly (ChatAnswer | undefined)[];
      const { text, tokens } = kept ?? (await chat.ask(prompt, { temperature, maxTokens, seed }, signal));
      if (!kept) await memo.put([{ key, value: { text, tokens } as unknown as Json }]);
      return { text: captionInAnswer(text), tokens };
    },
  };
}
