import type { DriverMessage, WorkerAsk } from "../model/protocol.ts";
import type { Answerer } from "./types.ts";

/** Answers a worker; where the store fails, the answer says so. */
export async function answerTo(
  answer: Answerer,
  ask: number,
  question: WorkerAsk,
): Promise<Extract<DriverMessage, { kind: "answer" }>> {
  try {
    return { kind: "answer", ask, value: await answer(question) };
  } catch (error) {
    const { hint, message } = error as Error & { readonly hint?: string };
    return {
      kind: "answer",
      ask,
      value: null,
      problem: { message, hint: hint ?? "see `ranflow cache status`" },
    };
  }
}
