import type * as openai from "openai";
import { z } from "zod";
import { NodeError, type RunContext } from "../../engine/sdk.ts";
import { ItemError } from "./item-error.ts";

/** Parameters of a node that asks an OpenAI-compatible server. */
export const serverParams = {
  model: z
    .string()
    .optional()
    .meta({ description: "model name that the server knows; needed with `openai`" }),
  baseUrl: z.url().optional().meta({
    ephemeral: true,
    description: "address of the server, for instance http://localhost:8000/v1; needed with `openai`",
  }),
  apiKey: z.string().optional().meta({
    secretEnv: true,
    description: "name of the environment variable that holds the server's key",
  }),
  concurrency: z.int().min(1).max(256).default(4).meta({
    ephemeral: true,
    description: "requests under way at once",
  }),
  timeoutSeconds: z.number().positive().default(120).meta({
    ephemeral: true,
    unit: "s",
    description: "how long to wait for one answer",
  }),
  requestRetries: z.int().min(0).max(20).default(5).meta({
    ephemeral: true,
    description: "how often to send a request again after an overload or a lost connection",
  }),
  giveUpAfter: z.int().min(1).default(8).meta({
    ephemeral: true,
    description:
      "when so many requests in a row have failed for good, the step asks for no more: what is left counts as failed",
  }),
};

type ServerParams = z.output<z.ZodObject<typeof serverParams>>;

/** What is wrong with the parameters of a server; undefined where nothing is. */
export function serverProblem({
  model,
  baseUrl,
}: Pick<ServerParams, "model" | "baseUrl">): string | undefined {
  if (!model) return "backend openai needs model, the name the server knows it by";
  if (!baseUrl) return "backend openai needs baseUrl, for instance http://localhost:8000/v1";
  return undefined;
}

/** What is asked for, besides the server's own parameters. */
export interface Sampling {
  readonly temperature: number;
  readonly maxTokens: number;
  readonly seed: number;
}

/** An answer, with what it cost where the server says so. */
export interface ChatAnswer {
  readonly text: string;
  readonly tokens: TokenCounts;
}

export interface TokenCounts {
  readonly prompt: number;
  readonly completion: number;
}

/** A message: text, or text and an image as a data URI. */
export type ChatContent = string | { readonly text: string; readonly image: string };

export interface Chat {
  /**
   * @throws ItemError where this request got no answer
   * @throws NodeError where no request will: the key or the model is wrong
   */
  ask(content: ChatContent, sampling: Sampling, signal: AbortSignal): Promise<ChatAnswer>;
}

/** Opens any OpenAI-compatible server. Overload is waited out as its Retry-After says, `requestRetries` times. */
export async function openChat(params: ServerParams, secret: RunContext["secret"]): Promise<Chat> {
  const { model = "", baseUrl = "", giveUpAfter } = params;
  const apiKey = params.apiKey === undefined ? undefined : secret(params.apiKey);
  if (params.apiKey !== undefined && !apiKey)
    throw new NodeError(`the environment variable ${params.apiKey} that apiKey names is not set`, {
      hint: "set it where ranflow is started, or leave out apiKey for a server that asks for none",
    });
  const sdk = await import("openai");
  const client = new sdk.OpenAI({
    baseURL: baseUrl,
    apiKey: apiKey ?? "none",
    timeout: params.timeoutSeconds * 1000,
    maxRetries: params.requestRetries,
    organization: null,
    project: null,
  });
  /** Failures since the last answer, and the last of them. */
  let failures = 0;
  let last: ItemError | undefined;

  return {
    async ask(content, { temperature, maxTokens, seed }, signal) {
      if (last && failures >= giveUpAfter) throw givenUp(last, failures);
      let body: unknown;
      try {
        body = await client.chat.completions.create(
          {
            model,
            messages: [{ role: "user", content: messageContent(content) }],
            temperature,
            max_tokens: maxTokens,
            seed,
          },
          { signal },
        );
        const answer = answerIn(body, baseUrl);
        failures = 0;
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        const problem =
          error instanceof ItemError ? error : problemOf(sdk, { ...params, model, baseUrl }, error);
        if (problem instanceof ItemError) {
          failures++;
          last = problem;
        }
        throw problem;
      }
    },
  };
}

function messageContent(content: ChatContent): string | openai.OpenAI.ChatCompletionContentPart[] {
  if (typeof content === "string") return content;
  return [
    { type: "text", text: content.text },
    { type: "image_url", image_url: { url: content.image } },
  ];
}

function answerIn(body: unknown, baseUrl: string): ChatAnswer {
  const { choices, usage } = (body ?? {}) as {
    readonly choices?: readonly { readonly message?: { readonly content?: unknown } }[];
    readonly usage?: { readonly prompt_tokens?: unknown; readonly completion_tokens?: unknown };
  };
  const content = choices?.[0]?.message?.content;
  const count = (value: unknown): number => (typeof value === "number" && value >= 0 ? value : 0);
  const tokens = { prompt: count(usage?.prompt_tokens), completion: count(usage?.completion_tokens) };
  if (typeof content === "string") return { text: content, tokens };
  // A refusal, or a model that thought until its tokens were used up: an answer without content.
  if (content === null) return { text: "", tokens };
  throw new ItemError(
    `the server at ${baseUrl} answers with something else than a chat completion: ${excerpt(body)}`,
    { ...notAnApi, transient: false },
  );
}

const notAnApi = {
  reason: "no answer: not a chat completion",
  hint: "baseUrl must be the address of an OpenAI-compatible API; it usually ends in /v1",
};

function givenUp(last: ItemError, failures: number): ItemError {
  return new ItemError(
    `after ${failures} failures in a row the server is not asked any more: ${last.message}`,
    {
      reason: last.reason,
      hint: last.hint ?? "",
      transient: last.transient,
      cause: last,
    },
  );
}

type Server = ServerParams & { readonly model: string; readonly baseUrl: string };

function problemOf(sdk: typeof openai, params: Server, error: unknown): unknown {
  const { baseUrl, model, requestRetries, timeoutSeconds } = params;
  const server = `the server at ${baseUrl}`;
  const after = requestRetries > 0 ? `, ${requestRetries + 1} times` : "";
  const item = (message: string, reason: string, hint: string, transient: boolean): ItemError =>
    new ItemError(`${server} ${message}`, { reason: `no answer: ${reason}`, hint, transient, cause: error });

  if (error instanceof sdk.APIConnectionTimeoutError)
    return item(
      `did not answer within ${timeoutSeconds} s${after}`,
      "timeout",
      "raise timeoutSeconds, lower concurrency, or use a smaller model",
      true,
    );
  if (error instanceof sdk.APIConnectionError)
    return item(
      `cannot be reached${after}: ${rootMessage(error)}`,
      "the server cannot be reached",
      "start the server, or correct baseUrl; answers so far are kept",
      true,
    );
  if (error instanceof SyntaxError)
    return new ItemError(`${server} answers with something that is not JSON: ${rootMessage(error)}`, {
      ...notAnApi,
      transient: false,
      cause: error,
    });
  if (!(error instanceof sdk.APIError)) return error;
  const { status } = error;
  const detail = excerpt(error.message);
  switch (status) {
    case 401:
    case 403:
      return new NodeError(`${server} refuses access: ${detail}`, {
        hint: "name the environment variable that holds a valid key with apiKey",
        cause: error,
      });
    case 404:
      return new NodeError(
        `${server} does not know the model ${JSON.stringify(model)}, or the address: ${detail}`,
        { hint: "check model and baseUrl; `curl BASEURL/models` lists what a server has", cause: error },
      );
    case 429:
      return item(
        `limits the rate and went on doing so${after}: ${detail}`,
        "rate limit or quota",
        "lower concurrency, or run again later: answers so far are kept",
        true,
      );
    default:
      return (status ?? 0) >= 500
        ? item(`fails with status ${status}: ${detail}`, `status ${status}`, "see the server's own log", true)
        : item(
            `fails with status ${status}: ${detail}`,
            `status ${status}`,
            "the server does not take the request: see its manual",
            false,
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
