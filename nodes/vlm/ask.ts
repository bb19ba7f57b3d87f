import { NodeError } from "../../engine/sdk.ts";
import type { ImageText } from "../formats.ts";
import { reportItems, workThrough } from "../items.ts";
import { readPairs, writeMetrics, writePairs, writeTable } from "../records.ts";
import { commandVlm } from "./command.ts";
import { openaiVlm } from "./openai.ts";
import { replayVlm } from "./replay.ts";
import type { Vlm, VlmAnswer, VlmContext } from "./vlm.ts";

/** The work of `external.vlm`. */
export async function askVlm(context: VlmContext): Promise<void> {
  const { params, inputs, seed, signal, progress, log, provenance, blobs } = context;
  const pairs = await readPairs(inputs.pairs.path);
  const vlm = await openVlm(context);
  log(`asking ${vlm.label} about ${pairs.length} ${params.produce === "caption" ? "images" : "captions"}`);
  let done = 0;
  let total = pairs.length;
  /** Told when the other answers of its group are kept. */
  let failure: NodeError | undefined;
  const lookAt = (answers: readonly VlmAnswer[]): void => {
    const failed = answers.find((answer) => "failed" in answer);
    if (failed && params.onFail === "fail") {
      failure ??= new NodeError(failed.message, {
        hint: "Set onFail to leave-out to go on without such items.",
      });
    }
  };
  const results = await workThrough<ImageText, VlmAnswer>(context, {
    units: pairs,
    atOnce: vlm.atOnce,
    keyOf: (pair) => ({
      item: params.produce === "caption" ? pair.image.digest : pair.caption,
      produce: params.produce,
      source: vlm.source(pair),
      seed,
    }),
    make: async (group) => {
      const answers = await vlm.answer(group, () => progress(++done, total, undefined, "item"), signal);
      lookAt(answers);
      return answers;
    },
    async usable(answers) {
      lookAt(answers);
      const images = answers.flatMap((answer) => ("image" in answer ? [answer.image] : []));
      const there = await blobs.has(images);
      const gone = new Set(images.filter((_, index) => !there[index]).map(({ digest }) => digest));
      return answers.map((answer) => !("image" in answer && gone.has(answer.image.digest)));
    },
    lasting: (answer) => !("failed" in answer && (answer.passing || params.onFail === "fail")),
    onProgress(sofar) {
      ({ total } = sofar);
      done = sofar.made + sofar.kept;
      progress(done, total, undefined, "item");
      if (failure) throw failure;
    },
  });
  provenance({ vlm: vlm.label });
  reportItems(context, results, { done: "asked about", one: "item", many: "items" });
  if (context.shard) return;
  await writeOutputs(context, vlm, pairs, results.values as readonly VlmAnswer[]);
}

async function openVlm(context: VlmContext): Promise<Vlm> {
  switch (context.params.backend) {
    case "openai":
      return openaiVlm(context);
    case "command":
      return commandVlm(context);
    case "replay":
      return replayVlm(context);
  }
}

async function writeOutputs(
  { params, outputs, log, provenance }: VlmContext,
  { label }: Vlm,
  pairs: readonly ImageText[],
  answers: readonly VlmAnswer[],
): Promise<void> {
  const answered = pairs.flatMap(({ id, image, caption }, index): ImageText[] => {
    const answer = answers[index] as VlmAnswer;
    if ("text" in answer) return [{ id, image, caption: answer.text }];
    return "image" in answer ? [{ id, image: answer.image, caption }] : [];
  });
  await writePairs(outputs.pairs.path, answered);
  await writeTable(
    outputs.report.path,
    pairs.map(({ id }, index) => {
      const answer = answers[index] as VlmAnswer;
      return {
        id,
        answer: "text" in answer ? answer.text : "image" in answer ? answer.image.digest : null,
        by: label,
        attempts: answer.attempts,
        failed: "failed" in answer ? answer.failed : null,
      };
    }),
  );
  const sum = (value: (answer: VlmAnswer) => number): number =>
    answers.reduce((total, answer) => total + value(answer), 0);
  const failed = pairs.length - answered.length;
  await writeMetrics(outputs.metrics.path, {
    vlm: label,
    produce: params.produce,
    items: pairs.length,
    answered: answered.length,
    failed,
    promptTokens: sum(({ tokens }) => tokens.prompt),
    completionTokens: sum(({ tokens }) => tokens.completion),
  });
  if (failed > 0) {
    const reasons = Map.groupBy(answers, (answer) => ("failed" in answer ? answer.failed : ""));
    reasons.delete("");
    const list = [...reasons].map(([reason, { length }]) => `${length} x ${reason}`).join(", ");
    const what = `${failed} of ${pairs.length} items have no answer and are left out: ${list}`;
    log(what, "warning");
    provenance({
      lacks: { what, passing: answers.filter((answer) => "failed" in answer && answer.passing).length },
    });
  }
}
