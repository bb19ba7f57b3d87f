import { basename, dirname } from "node:path";
import { z } from "zod";
import {
  NodeError,
  defineNode,
  port,
  type Json,
  type NodeType,
  type Port,
  type RunContext,
} from "../engine/sdk.ts";
import type { BertScorer } from "./captions/bert-score.ts";
import { modelRewriter } from "./captions/model.ts";
import { defaultTemplate } from "./captions/prompt.ts";
import { replayRewriter } from "./captions/replay.ts";
import { mapConcurrently, rewriteCaption, type Rewrite } from "./captions/rewrite-all.ts";
import type { Rewriter } from "./captions/rewriter.ts";
import { rewriteByRules, rulesLabel } from "./captions/rules.ts";
import { wordModificationRatio } from "./captions/word-changes.ts";
import { openLlama } from "./chat/llama.ts";
import { openChat, serverParams, serverProblem } from "./chat/server.ts";
import { reportItems, workThrough } from "./items.ts";
import { noiseOrder, noisyCount } from "./noise-order.ts";
import { readPairs, writeMetrics, writePairs, writeTable, type TableRow } from "./records.ts";

const params = z.object({
  backend: z.enum(["rules", "openai", "llama", "replay"]).default("rules").meta({
    description:
      "who rewrites: `rules`, a seeded lexicon that stands in for a language model offline; `openai`, any OpenAI-compatible server; `llama`, a model in this process by llama.cpp; `replay`, recorded answers",
  }),
  percent: z.number().min(0).max(100).default(100).meta({
    unit: "%",
    description: "share of pairs to rewrite: the first that become noisy in `noise.mix` with the same seed",
  }),
  template: z
    .string()
    .default(defaultTemplate)
    .meta({ description: "prompt; {caption} stands for the caption" }),
  temperature: z.number().min(0).max(2).default(0.1).meta({ description: "sampling temperature" }),
  maxTokens: z.int().min(1).default(256).meta({ description: "longest answer, in tokens" }),
  modelFile: z.string().optional().meta({
    path: true,
    description: "file of the model, GGUF; needed with `llama`",
  }),
  replay: z.string().optional().meta({
    path: true,
    description: 'file of recorded answers, JSON lines {"caption", "rewrite"}; needed with `replay`',
  }),
  retries: z.int().min(0).max(20).default(3).meta({
    description: "how often to ask again where an answer is rejected, with the seed raised by one each time",
  }),
  minWmr: z.number().min(0).max(1).default(0).meta({
    unit: "ratio",
    description: "answers that change no greater share of the words are rejected",
  }),
  maxWmr: z.number().positive().default(0.5).meta({
    unit: "ratio",
    description: "answers that change a greater share of the words are rejected",
  }),
  minBertScore: z.number().min(0).max(1).default(0).meta({
    unit: "ratio",
    neutral: 0,
    description:
      "answers whose BERTScore-F1 with the caption is less, by the BERT of `scorer`, are rejected; 0 for no such filter, for the meaning is meant to change (PromptAttack has 0.92, by another BERT)",
  }),
  bertLayer: z.int().min(1).optional().meta({
    description: "with minBertScore: the layer of the BERT whose tokens are compared; the last unless told",
  }),
  onFail: z.enum(["rules", "clean", "fail"]).default("rules").meta({
    description: "where no answer was accepted: fall back to the lexicon, keep the clean caption, or fail",
  }),
  ...serverParams,
});

type Params = z.output<typeof params>;

/** Captions that are kept together: enough that waiting for the slowest of them is no loss. */
const fewestTogether = 64;
const turnsTogether = 16;

/** Rewrites captions so that they no longer describe their images (METHOD 5). */
export const attackCaptionLlm: NodeType = defineNode({
  type: "attack.caption-llm",
  version: 2,
  summary: "Rewrites captions so that they no longer describe their images",
  details: `
The prompt follows PromptAttack: the caption, the objectives (other body parts, opposite findings, everything else
kept), the guidance to output the caption only. An answer is rejected where it is empty, identical, or its
word-modification ratio (Levenshtein distance over words / number of words) is not in (minWmr, maxWmr], or its BERTScore
(Zhang et al. 2020, without idf weights or rescaling) is less than minBertScore; then the model is asked again with another seed, and in the end \`onFail\` decides. What becomes of a caption is kept, and so is each answer
of a model by its prompt: nothing is asked twice.

A server that is down, slow, out of quota or answers nonsense costs the caption, not the step: \`onFail\` decides on it, it is
counted as \`unanswered\`, every run that has the result says so, and with \`--force\` the step asks for it again. After \`giveUpAfter\`
such failures in a row no more is asked. A key that is refused, or a model that the server does not know, ends the step.

\`llama\` runs a GGUF model in this process with the package node-llama-cpp, which is yours to install: the step says how.

\`pairs\` holds only the rewritten pairs, in the order of the input. \`rules\` is an offline stand-in and not the paper's
attack; report, metrics and log say so.`.trim(),
  inputs: {
    pairs: port("pairs", { description: "clean pairs" }),
    scorer: port("clip-model", {
      optional: true,
      description: "a model whose text tower is a BERT, such as BiomedCLIP; read only with minBertScore",
    }),
  },
  outputs: {
    pairs: port("pairs", { description: "the rewritten pairs only" }),
    report: port("table", { description: "id, caption, rewrite, wmr, by, attempts, rejected" }),
    metrics: port("metrics", { description: "counts and mean word-modification ratio" }),
  },
  params,
  reads: ({ minBertScore }) => (minBertScore > 0 ? ["pairs", "scorer"] : ["pairs"]),
  checkInputs: ({ minBertScore }, bound) =>
    minBertScore > 0 && !bound.includes("scorer")
      ? "minBertScore needs `scorer`: bind a model whose text tower is a BERT"
      : undefined,
  check: ({
    backend,
    bertLayer,
    model,
    modelFile,
    baseUrl,
    replay,
    template,
    minWmr,
    maxWmr,
    minBertScore,
  }) => {
    if (bertLayer !== undefined && minBertScore === 0) return "bertLayer is about minBertScore, which is 0";
    const server = backend === "openai" ? serverProblem({ model, baseUrl }) : undefined;
    if (server !== undefined) return server;
    if (backend === "llama" && !modelFile) return "backend llama needs modelFile, a GGUF file";
    if (backend === "replay" && !replay) return "backend replay needs replay, a file of recorded answers";
    if (!template.includes("{caption}")) return "template needs {caption} where the caption goes";
    return minWmr < maxWmr ? undefined : `minWmr ${minWmr} must be less than maxWmr ${maxWmr}`;
  },
  seeded: true,
  itemwise: true,
  growth: {
    time: ({ bytes, params: { percent } }) => percent * bytes("pairs"),
    space: ({ bytes, params: { percent } }) => percent * bytes("pairs"),
    kind: ({ backend, model = "" }) => `${backend} ${model}`.trim(),
  },
  scan: async ({ params: { backend, modelFile, replay } }) => {
    if (backend === "replay" && replay !== undefined)
      return { dataset: "recorded rewrites", root: dirname(replay), files: [basename(replay)] };
    if (backend === "llama" && modelFile !== undefined)
      return { dataset: "language model", root: dirname(modelFile), files: [basename(modelFile)] };
    return undefined;
  },
  scans: ({ backend }) => backend === "replay" || backend === "llama",
  async run(context) {
    const rewriter = await openRewriter(context);
    const scorer = await openScorer(context);
    try {
      await attackCaptions(context, rewriter, scorer);
    } finally {
      scorer?.close();
      await rewriter.close?.();
    }
  },
});

type Context = RunContext<
  Params,
  { readonly pairs: Port; readonly scorer: Port & { readonly optional: true } },
  { readonly pairs: Port; readonly report: Port; readonly metrics: Port }
>;

async function openScorer({ compute, inputs, params, provenance }: Context): Promise<BertScorer | undefined> {
  const { bertLayer: layer, minBertScore } = params;
  if (minBertScore === 0) return undefined;
  if (!inputs.scorer) throw new Error("internal error: the scorer was not read");
  const { openBertScorer } = await import("./captions/bert-score.ts");
  const scorer = await openBertScorer(inputs.scorer, { compute, layer });
  provenance(scorer.provenance);
  return scorer;
}

async function attackCaptions(
  context: Context,
  rewriter: Rewriter,
  scorer: BertScorer | undefined,
): Promise<void> {
  const { params: settings, inputs, outputs, seed, signal, progress, log, provenance } = context;
  const clean = await readPairs(inputs.pairs.path);
  const ids = clean.map(({ id }) => id);
  const chosen = new Set(noiseOrder(ids, seed).slice(0, noisyCount(ids.length, settings.percent)));
  const attacked = clean.filter(({ id }) => chosen.has(id));
  log(`rewriting ${attacked.length} of ${clean.length} captions by ${rewriter.label}`);

  // One caption may stand under several images: it is rewritten once.
  const captions = [...new Set(attacked.map(({ caption }) => caption))];
  const { bertLayer = null, minBertScore, minWmr, maxWmr, retries, onFail } = settings;
  const likeness = scorer && {
    min: minBertScore,
    of: (caption: string, rewrite: string) => scorer.score(caption, rewrite),
  };
  let done = 0;
  let total = captions.length;
  /** Kinds of trouble that were told in full; reports hold the kind alone. */
  const told = new Set<string>();
  const results = await workThrough<string, Settled>(context, {
    units: captions,
    atOnce: Math.max(fewestTogether, turnsTogether * settings.concurrency),
    keyOf: (caption): Json => ({
      caption,
      source: rewriter.source(caption),
      limits: { minWmr, maxWmr, retries, onFail },
      ...(inputs.scorer && { bertScore: { scorer: inputs.scorer.digest, layer: bertLayer, minBertScore } }),
      seed,
    }),
    make: (group) =>
      mapConcurrently(
        group,
        settings.concurrency,
        async (caption, stop) => {
          const limits = { minWmr, maxWmr, ...(likeness && { likeness }) };
          const first = await rewriteCaption(rewriter, caption, { limits, retries, signal: stop });
          progress(++done, total, undefined, "captions");
          if (!first.ok && first.error && !told.has(first.reason)) {
            told.add(first.reason);
            log([first.error.message, first.error.hint].filter(Boolean).join(": "), "warning");
          }
          return settle(caption, first, rewriter.label, settings, seed);
        },
        signal,
      ),
    lasting: ({ unanswered }) => !unanswered,
    onProgress(sofar) {
      ({ total } = sofar);
      done = sofar.made + sofar.kept;
      progress(done, total, undefined, "captions");
    },
  });
  provenance({ captionBackend: rewriter.label });
  reportItems(context, results, { done: "rewrote", one: "caption", many: "captions" });
  if (context.shard) return;
  const byCaption = new Map(captions.map((caption, index) => [caption, results.values[index] as Settled]));
  const settled = attacked.map((pair) => ({ pair, outcome: byCaption.get(pair.caption) as Settled }));

  await writePairs(
    outputs.pairs.path,
    settled.map(({ pair, outcome }) => ({ ...pair, caption: outcome.caption })),
  );
  await writeTable(
    outputs.report.path,
    settled.map(({ pair, outcome }): TableRow => ({
      id: pair.id,
      caption: pair.caption,
      rewrite: outcome.caption,
      wmr: outcome.wmr,
      by: outcome.by,
      attempts: outcome.attempts,
      rejected: outcome.rejected,
    })),
  );
  const metrics = {
    ...summary(
      rewriter.label,
      clean.length,
      settled.map(({ outcome }) => outcome),
    ),
    ...tokensOf([...byCaption.values()]),
  };
  await writeMetrics(outputs.metrics.path, metrics);
  const { unanswered } = metrics;
  if (unanswered > 0) {
    const why = troubles(settled.map(({ outcome }) => outcome));
    const what = `${unanswered} of ${settled.length} captions got no answer: ${why}`;
    log(what, "warning");
    provenance({ lacks: { what, passing: unanswered } });
  }
  if (metrics.fallbacks + metrics.kept > 0)
    log(
      `${metrics.fallbacks} captions fell back to ${rulesLabel}, ${metrics.kept} kept their clean caption`,
      "warning",
    );
}

/** What a caption ends as, and by whom. */
interface Settled {
  readonly caption: string;
  readonly wmr: number;
  /** Label of the rewriter; `kept` for a clean caption. */
  readonly by: string;
  readonly attempts: number;
  /** Why the last answer was rejected, where it was. */
  readonly rejected: string | null;
  readonly how: "rewritten" | "fallback" | "kept";
  /** No answer came, for a reason that may be gone another time. */
  readonly unanswered: boolean;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

async function openRewriter(context: Context): Promise<Rewriter> {
  const { params: settings, external, seed, memo, secret, compute, signal, log, provenance } = context;
  switch (settings.backend) {
    case "rules":
      return {
        label: rulesLabel,
        source: () => "rules",
        answer: async (caption, attempt) => {
          const text = rewriteByRules(caption, { seed: seed + attempt, maxWmr: settings.maxWmr });
          return text === undefined ? undefined : { text };
        },
      };
    case "openai": {
      const { model = "", template, temperature, maxTokens } = settings;
      return modelRewriter(await openChat(settings, secret), {
        label: `openai (${model})`,
        model: { openai: model },
        template,
        temperature,
        maxTokens,
        seed,
        memo,
      });
    }
    case "llama": {
      const { modelFile = "", template, temperature, maxTokens } = settings;
      const name = basename(modelFile);
      const file = external.get(name);
      if (!file) throw new Error("internal error: the model was not scanned");
      const chat = await openLlama(file.path, { threads: compute.threads, signal, log });
      provenance(chat.provenance);
      const rewriter = modelRewriter(chat, {
        label: `llama (${name})`,
        model: { llama: file.digest },
        template,
        temperature,
        maxTokens,
        seed,
        memo,
      });
      return { ...rewriter, close: () => chat.close() };
    }
    case "replay": {
      const file = external.get(basename(settings.replay ?? ""));
      if (!file) throw new Error("internal error: the recorded answers were not scanned");
      return replayRewriter(file.path);
    }
  }
}

function settle(caption: string, rewrite: Rewrite, label: string, settings: Params, seed: number): Settled {
  const { attempts, tokens } = rewrite;
  const cost = { attempts, promptTokens: tokens.prompt, completionTokens: tokens.completion };
  if (rewrite.ok) {
    const { wmr } = rewrite;
    return {
      caption: rewrite.caption,
      wmr,
      by: label,
      rejected: null,
      how: "rewritten",
      unanswered: false,
      ...cost,
    };
  }
  const rejected = rewrite.reason;
  const why = { rejected, unanswered: rewrite.error !== undefined, ...cost };
  if (settings.onFail === "fail" && rewrite.error) throw rewrite.error;
  if (settings.onFail === "fail")
    throw new NodeError(`no rewrite of ${JSON.stringify(caption)} was accepted: ${rejected}`, {
      hint: "raise retries or maxWmr, change the template, or set onFail to rules or clean",
    });
  const ruled =
    settings.onFail === "rules" ? rewriteByRules(caption, { seed, maxWmr: settings.maxWmr }) : undefined;
  if (ruled === undefined || label === rulesLabel)
    return { caption, wmr: 0, by: "kept", how: "kept", ...why };
  const wmr = wordModificationRatio(caption, ruled);
  return { caption: ruled, wmr, by: rulesLabel, how: "fallback", ...why };
}

function summary(label: string, total: number, outcomes: readonly Settled[]) {
  const count = (how: Settled["how"]): number => outcomes.filter((outcome) => outcome.how === how).length;
  const changed = outcomes.filter(({ how }) => how !== "kept").map(({ wmr }) => wmr);
  return {
    attack: "caption-llm",
    backend: label,
    pairs: total,
    attacked: outcomes.length,
    rewritten: count("rewritten"),
    fallbacks: count("fallback"),
    kept: count("kept"),
    unanswered: outcomes.filter(({ unanswered }) => unanswered).length,
    meanWmr: changed.length > 0 ? sum(changed) / changed.length : null,
    maxWmr: changed.length > 0 ? Math.max(...changed) : null,
  };
}

/** What the answers cost, also those that were kept from before; each caption counts once. */
function tokensOf(outcomes: readonly Settled[]) {
  return {
    promptTokens: sum(outcomes.map(({ promptTokens }) => promptTokens)),
    completionTokens: sum(outcomes.map(({ completionTokens }) => completionTokens)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The reasons of captions without an answer, the most frequent first. */
function troubles(outcomes: readonly Settled[]): string {
  const counts = new Map<string, number>();
  for (const { unanswered, rejected } of outcomes)
    if (unanswered) counts.set(rejected ?? "", (counts.get(rejected ?? "") ?? 0) + 1);
  return [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${count} x ${reason}`)
    .join(", ");
}
