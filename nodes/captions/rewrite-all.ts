import { ItemError } from "../chat/item-error.ts";
import type { TokenCounts } from "../chat/server.ts";
import type { Answer, AnswerLimits, Rewriter } from "./rewriter.ts";
import { wordModificationRatio } from "./word-changes.ts";

/** What became of one caption. */
export type Rewrite = (
  | { readonly ok: true; readonly caption: string; readonly wmr: number }
  | {
      readonly ok: false;
      readonly reason: string;
      /** Set where the answers' source failed, and another time may answer. */
      readonly error?: ItemError;
    }
) & { readonly attempts: number; readonly tokens: TokenCounts };

/**
 * Asks for a rewrite until one is good: not empty, not the same, and within the limits of the word-modification
 * ratio.
 *
 * @param retries how often to ask again
 */
export async function rewriteCaption(
  rewriter: Rewriter,
  caption: string,
  options: { readonly limits: AnswerLimits; readonly retries: number; readonly signal: AbortSignal },
): Promise<Rewrite> {
  let reason = "no answer";
  let tokens: TokenCounts = { prompt: 0, completion: 0 };
  for (let attempt = 0; attempt <= options.retries; attempt++) {
    options.signal.throwIfAborted();
    let answer: Answer | undefined;
    try {
      answer = await rewriter.answer(caption, attempt, options.signal);
    } catch (error) {
      if (!(error instanceof ItemError)) throw error;
      return { ok: false, reason: error.reason, error, attempts: attempt + 1, tokens };
    }
    if (answer === undefined) return { ok: false, reason, attempts: attempt, tokens };
    const rewrite = answer.text;
    tokens = {
      prompt: tokens.prompt + (answer.tokens?.prompt ?? 0),
      completion: tokens.completion + (answer.tokens?.completion ?? 0),
    };
    const wmr = wordModificationRatio(caption, rewrite);
    const problem = rejection({ caption, rewrite, wmr }, options.limits);
    if (problem === undefined) return { ok: true, caption: rewrite, wmr, attempts: attempt + 1, tokens };
    reason = problem;
  }
  return { ok: false, reason, attempts: options.retries + 1, tokens };
}

function rejection(
  { caption, rewrite, wmr }: { readonly caption: string; readonly rewrite: string; readonly wmr: number },
  { likeness, minWmr, maxWmr }: AnswerLimits,
): string | undefined {
  if (rewrite === "") return "empty";
  if (wmr === 0) return "identical";
  if (wmr <= minWmr || wmr > maxWmr) return `word-modification ratio ${wmr.toFixed(3)}`;
  const score = likeness?.of(caption, rewrite);
  if (likeness && score !== undefined && score < likeness.min) return `BERTScore ${score.toFixed(3)}`;
  return undefined;
}

/** Maps items with so many under way at once; results in order. The first failure stops the rest. */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  concurrency: number,
  work: (item: T, signal: AbortSignal) => Promise<R>,
  signal: AbortSignal,
): Promise<R[]> {
  const failed = new AbortController();
  const both = AbortSignal.any([signal, failed.signal]);
  const results: R[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && !both.aborted) {
      const index = next++;
      results[index] = await work(items[index] as T, both);
    }
  };
  const lanes = Array.from({ length: Math.min(concurrency, items.length) }, () =>
    lane().catch((error: unknown) => {
      // The first failure is the one to tell; the others only follow from stopping.
      if (!failed.signal.aborted) failed.abort(error);
    }),
  );
  await Promise.all(lanes);
  signal.throwIfAborted();
  failed.signal.throwIfAborted();
  return results;
}
