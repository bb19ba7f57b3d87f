import type * as openai from "openai";
import { NodeError, type Json, type StepMemo } from "../../engine/sdk.ts";
import { captionInAnswer, fillTemplate } from "./prompt.ts";
import type { Rewriter } from "./rewriter.ts";

/** An OpenAI-compatible server and what to ask of it. */
export interface OpenaiOptions {
  readonly baseUrl: string;
  readonly model: string;
  readonly template: string;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly seed: number;
  /** Undefined for servers that ask for none. */
  readonly apiKey: string | undefined;
  /** Seconds until a request counts as lost. */
  readonly timeout: number;
  /** How often a request is sent again after an overload, a lost connection or a timeout. */
  readonly retries: number;
  readonly memo: StepMemo;
}

/**
 * Answers from any OpenAI-compatible server. Answers are kept by prompt and settings, so that an interrupted step, or
 * a larger share, asks only for new captions. Overload is waited out as the server's Retry-After says.
 */
export async function openaiRewriter(options: OpenaiOptions): Promise<Rewriter> {
  const sdk = await import("openai");
  const client = new sdk.OpenAI({
    baseURL: options.baseUrl,
    apiKey: options.apiKey ?? "none",
    timeout: options.timeout * 1000,
    maxRetries: options.retries,
    organization: null,
    project: null,
  });

  const ask = async (prompt: string, seed: number, signal: AbortSignal): Promise<string> => {
    let body: unknown;
    try {
      body = await client.chat.completions.create(
        {
          model: options.model,
          messages: [{ role: "user", content: prompt }],
          temperature: options.temperature,
          max_tokens: options.maxTokens,
          seed,
        },
        { signal },
      );
    } catch (error) {
      signal.throwIfAborted();
      throw serverProblem(sdk, options, error);
    }
    const content = (body as { choices?: { message?: { content?: unknown } }[] } | undefined)?.choices?.[0]
      ?.message?.content;
    if (typeof content === "string") return content;
    // A refusal, or a model that thought until its tokens were used up: an empty answer, which is then rejected.
    if (content === null) return "";
    throw new NodeError(
      `the server at ${options.baseUrl} answers with something else than a chat completion: ${excerpt(body)}`,
      { hint: "baseUrl must be the address of an OpenAI-compatible API; it usually ends in /v1" },
    );
  };

  return {
    label: `openai (${options.model})`,
    source: () => {
      const { model, template, temperature, maxTokens } = options;
      return { openai: { model, template, temperature, maxTokens } };
    },
    async answer(caption, attempt, signal) {
      const seed = options.seed + attempt;
      const prompt = fillTemplate(options.template, caption);
      const { model, temperature, maxTokens } = options;
      const key: Json = { answer: { model, prompt, temperature, maxTokens, seed } };
      const [kept] = await options.memo.get([key]);
      if (typeof kept === "string") return captionInAnswer(kept);
      const value = await ask(prompt, seed, signal);
      await options.memo.put([{ key, value }]);
      return captionInAnswer(value);
    },
  };
}

type OpenaiModule = typeof openai;

function serverProblem(sdk: OpenaiModule, options: OpenaiOptions, error: unknown): unknown {
  const server = `the server at ${options.baseUrl}`;
  const after = options.retries > 0 ? `, ${options.retries + 1} times` : "";
  const problem = (message: string, hint: string, transient: boolean): NodeError =>
    new NodeError(message, { hint, transient, cause: error });

  if (error instanceof sdk.APIConnectionTimeoutError)
    return problem(
      `${server} did not answer within ${options.timeout} s${after}`,
      "raise timeoutSeconds, lower concurrency, or use a smaller model",
      true,
    );
  if (error instanceof sdk.APIConnectionError)
    return problem(
      `${server} cannot be reached${after}: ${rootMessage(error)}`,
      "start the server, or correct baseUrl; answers so far are kept",
      true,
    );
  if (error instanceof SyntaxError)
    return problem(
      `${server} answers with something that is not JSON: ${rootMessage(error)}`,
      "baseUrl must be the address of an OpenAI-compatible API; it usually ends in /v1",
      false,
    );
  if (!(error instanceof sdk.APIError)) return error;
  const detail = excerpt(error.message);
  switch (error.status) {
    case 401:
    case 403:
      return problem(
        `${server} refuses access: ${detail}`,
        "name the environment variable that holds a valid key with apiKey",
        false,
      );
    case 404:
      return problem(
        `${server} does not know the model ${JSON.stringify(options.model)}, or the address: ${detail}`,
        "check model and baseUrl; `curl BASEURL/models` lists what a server has",
        false,
      );
    case 429:
      return problem(
        `${server} limits the rate and went on doing so${after}: ${detail}`,
        "lower concurrency, or run again later: answers so far are kept",
        true,
      );
    default:
      return problem(
        `${server} fails with status ${error.status}: ${detail}`,
        (error.status ?? 0) >= 500
          ? "see the server's own log"
          : "the server does not take the request: see its manual",
        (error.status ?? 0) >= 500,
      );
  }
}

/** The innermost message: "connect ECONNREFUSED ..." rather than "Connection error." */
function rootMessage(error: Error): string {
  return error.cause instanceof Error ? rootMessage(error.cause) : error.message;
}

function excerpt(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
