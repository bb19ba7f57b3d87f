import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { NodeError, type JsonObject } from "../../engine/sdk.ts";
import { backendsFolder } from "../compute/places.ts";
import { ItemError } from "./item-error.ts";
import type { Chat, TokenCounts } from "./server.ts";

const packageName = "node-llama-cpp";

/** Longest prompt and answer together, in tokens; less where the model was trained on less. */
const longestContext = 4096;

/** What is used of the package: it is the user's to install, so its own types may not be there. */
interface LlamaModule {
  getLlama(options: {
    readonly gpu: "auto";
    readonly build: "never";
    readonly progressLogs: false;
    readonly logLevel: "error";
    readonly logger: (level: string, message: string) => void;
  }): Promise<Llama>;
  readonly LlamaChatSession: new (options: { readonly contextSequence: Sequence }) => Session;
}

interface Llama {
  readonly gpu: string | false;
  loadModel(options: { readonly modelPath: string; readonly loadSignal: AbortSignal }): Promise<{
    createContext(options: {
      readonly contextSize: { readonly max: number };
      readonly threads: number;
    }): Promise<{ getSequence(): Sequence }>;
  }>;
  dispose(): Promise<void>;
}

interface Sequence {
  readonly tokenMeter: {
    getState(): unknown;
    diff(before: unknown): { readonly usedInputTokens: number; readonly usedOutputTokens: number };
  };
  clearHistory(): Promise<void>;
}

interface Session {
  prompt(
    text: string,
    options: {
      readonly temperature: number;
      readonly maxTokens: number;
      readonly seed: number;
      readonly signal: AbortSignal;
    },
  ): Promise<string>;
  dispose(options: { readonly disposeSequence: false }): void;
}

/** A model in this process, and what is to be known of it. Close it when done. */
export interface LlamaChat extends Chat {
  readonly provenance: JsonObject;
  close(): Promise<void>;
}

/**
 * Opens a GGUF model with llama.cpp in this process. One prompt is answered at a time, each without memory of the others.
 *
 * @param path file of the model
 * @throws NodeError where the package is not installed, or the file is no model
 */
export async function openLlama(
  path: string,
  {
    threads,
    signal,
    log,
  }: { readonly threads: number; readonly signal: AbortSignal; log(message: string): void },
): Promise<LlamaChat> {
  const { getLlama, LlamaChatSession } = await loadLlama();
  const llama = await getLlama({
    gpu: "auto",
    build: "never",
    progressLogs: false,
    logLevel: "error",
    logger: (_, message) => log(`llama.cpp: ${message.trim()}`),
  });
  const sequence = await llama
    .loadModel({ modelPath: path, loadSignal: signal })
    .then((model) => model.createContext({ contextSize: { max: longestContext }, threads }))
    .then((context) => context.getSequence())
    .catch(async (cause: unknown) => {
      await llama.dispose();
      signal.throwIfAborted();
      throw new NodeError(`${path} cannot be loaded as a model: ${(cause as Error).message}`, {
        cause,
        hint: "llama.cpp reads GGUF files; a model needs about its file's size of memory.",
      });
    });

  const ask: Chat["ask"] = async (content, { temperature, maxTokens, seed }, stop) => {
    if (typeof content !== "string") throw new Error("internal error: llama.cpp is asked about an image");
    const session = new LlamaChatSession({ contextSequence: sequence });
    const before = sequence.tokenMeter.getState();
    try {
      const text = await session.prompt(content, { temperature, maxTokens, seed, signal: stop });
      const { usedInputTokens, usedOutputTokens } = sequence.tokenMeter.diff(before);
      const tokens: TokenCounts = { prompt: usedInputTokens, completion: usedOutputTokens };
      return { text, tokens };
    } catch (cause) {
      stop.throwIfAborted();
      throw new ItemError(`llama.cpp cannot answer a prompt: ${(cause as Error).message}`, {
        reason: "no answer: llama.cpp failed",
        hint: "The prompt may be longer than what the model takes.",
        transient: false,
        cause,
      });
    } finally {
      session.dispose({ disposeSequence: false });
      await sequence.clearHistory();
    }
  };

  let turn: Promise<unknown> = Promise.resolve();
  return {
    provenance: { llama: { gpu: llama.gpu, threads } },
    ask(...question) {
      const answer = turn.then(() => {
        question[2].throwIfAborted();
        return ask(...question);
      });
      turn = answer.catch(() => undefined);
      return answer;
    },
    close: () => llama.dispose(),
  };
}

/** Where a user may have installed the package: beside ranflow, beside the pipeline, or for all of the user's work. */
function installations(): readonly string[] {
  return [import.meta.filename, join(process.cwd(), "_"), join(llamaFolder(), "_")];
}

/** Per-user folder of the package. */
function llamaFolder(): string {
  return join(backendsFolder(), "llama");
}

/** Path of the package's module; undefined where it is nowhere. */
export function findLlama(places = installations()): string | undefined {
  for (const place of places) {
    try {
      return createRequire(place).resolve(packageName);
    } catch {
      // Not there: the next place may have it.
    }
  }
  return undefined;
}

async function loadLlama(): Promise<LlamaModule> {
  const module = findLlama();
  if (module === undefined) throw llamaMissing();
  return (await import(pathToFileURL(module).href)) as LlamaModule;
}

/** What to do where the package is not there. Its optional parts are large: left out, it takes 85 MB. */
export function llamaMissing(): NodeError {
  const binary = process.platform === "darwin" ? "mac-arm64-metal" : `${process.platform}-${process.arch}`;
  return new NodeError(`backend llama needs the package ${packageName}, which is not installed`, {
    hint:
      `npm install --prefix ${llamaFolder()} --omit=optional --ignore-scripts ${packageName}@3 ` +
      `@node-llama-cpp/${binary}@3`,
  });
}
