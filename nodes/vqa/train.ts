import { setImmediate } from "node:timers/promises";
import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { FusionHeader, HeadHeader } from "../formats.ts";
import { initialWeights } from "../heads/head.ts";
import { Journal } from "../heads/journal.ts";
import {
  batchBounds,
  hasRunningCentroids,
  startCentroids,
  untrained,
  type HeadOptions,
  type StepReport,
} from "../heads/train.ts";
import { headOptions } from "../heads/training-set.ts";
import { dropout } from "../nn/dropout.ts";
import { opsOf } from "../nn/ops.ts";
import { randomStream } from "../random.ts";
import { writeTable } from "../records.ts";
import { readTokens, type Tokens } from "../tokens.ts";
import { askedRecords, vocabularyOf, type AskedRecord } from "./answers.ts";
import { fuseRows, fusionBatch } from "./batch.ts";
import { bestEpoch, epochWeights } from "./best-epoch.ts";
import { restoreVqaTraining, saveVqaTraining, type VqaTraining } from "./checkpoint.ts";
import { vqaGradients } from "./gradients.ts";
import { initialFusion, writeVqaModel } from "./model.ts";
import { headParamsOf, type VqaParams } from "./params.ts";
import { trainFusion } from "./trained-fusion.ts";
import { validationAccuracy, validationQuestions, type ValidationQuestions } from "./validation.ts";

type Context = RunContext<
  VqaParams,
  { readonly train: Port; readonly val: Port & { readonly optional: true } },
  { readonly model: Port; readonly log: Port }
>;

/** torch's, of AdamW. */
const epsilon = 1e-8;

/** What is learnt. */
interface Lesson {
  readonly tokens: Tokens;
  readonly asked: readonly AskedRecord[];
  /** By index: what a label says. */
  readonly answers: readonly string[];
  /** The index of each. */
  readonly label: ReadonlyMap<string, number>;
  /** Where the best epoch is kept. */
  readonly val: ValidationQuestions | undefined;
}

/** The work of `vqa.train` (METHOD 9). */
export async function trainVqa(context: Context): Promise<void> {
  const { inputs, log, outputs, params, provenance, seed } = context;
  const lesson = await lessonOf(inputs, params);
  const { answers, asked, tokens } = lesson;
  log(`${asked.length} questions, ${answers.length} answers`);
  const header = fusionHeader(tokens, params);
  const options = optionsOf(lesson, params);

  const runtime = await openRuntime(context.compute);
  provenance(runtime.provenance);
  const adamw = { ...params, epsilon };
  const fusion = trainFusion(opsOf(runtime), header, initialFusion(header, seed), adamw);
  const head = untrained(runtime, { ...options, ...adamw }, initialWeights(options.shape, seed), seed);
  try {
    const training = { fusion, head, journal: new Journal() };
    await trainToTheEnd(context, lesson, options, training);
    const best = bestEpoch(training.journal);
    await writeVqaModel(outputs.model.path, {
      fusion: { header, values: best?.fusion ?? fusion.values() },
      head: {
        header: headHeader(lesson, options, params),
        shape: options.shape,
        weights: best?.head ?? head.head.weights(),
      },
    });
    await writeTable(outputs.log.path, training.journal.rows);
  } finally {
    fusion.dispose();
    head.head.trained.dispose();
  }
}

/** @throws NodeError where there is nothing to learn */
async function lessonOf(inputs: Context["inputs"], params: VqaParams): Promise<Lesson> {
  const { closedOnly, selection } = params;
  const tokens = await readTokens(inputs.train);
  const { dataset, records, split } = tokens.header;
  const asked = askedRecords(tokens, closedOnly);
  const answers = vocabularyOf(asked);
  if (answers.length < 2) {
    const kind = closedOnly ? "closed questions" : "questions";
    throw new NodeError(
      `the ${asked.length} ${kind} among ${records.length} of ${dataset} (${split}) have ${answers.length === 0 ? "no answer" : "one answer alone"}`,
      {
        hint: "There is nothing to choose from: check the loader's split, lang and limit, or set closedOnly.",
      },
    );
  }
  const label = new Map(answers.map((answer, index) => [answer, index]));
  const val =
    selection === "best_val" && inputs.val
      ? validationQuestions(await readTokens(inputs.val), tokens, label, params)
      : undefined;
  return { tokens, asked, answers, label, val };
}

function fusionHeader({ image, text }: Tokens, params: VqaParams): FusionHeader {
  const { heads, layers, loss, textPool, width } = params;
  const inputs = { text: text.width, image: image.width };
  return { layers, width, heads, ffn: params.ffn ?? 4 * width, inputs, textPool, loss };
}

function headHeader({ answers, tokens }: Lesson, { shape }: HeadOptions, { method }: VqaParams): HeadHeader {
  const { batchNorm, dim, hidden, residual } = shape;
  const { dataset } = tokens.header;
  const thresholds = answers.map(() => 0.5);
  const task = "single-label";
  return {
    method,
    task,
    dataset,
    labels: answers,
    dim,
    hidden,
    residual,
    batchNorm,
    ...(shape.meter === true && { meter: true }),
    thresholds,
  };
}

/** @throws NodeError where no batch can be made */
function optionsOf({ answers, asked }: Lesson, params: VqaParams): HeadOptions {
  const { objective, shape } = headOptions(headParamsOf(params), 2 * params.width, answers);
  if (batchBounds(asked.length, { ...params, shape }).length === 0) {
    throw new NodeError("one question is too few for batch norm", {
      hint: "Give more questions, or set batchNorm: false.",
    });
  }
  return {
    shape: params.classifier === "meter" ? { ...shape, meter: true } : shape,
    objective: { ...objective, oneHot: params.loss === "bce" },
  };
}

/** Trains from the last checkpoint, or from the start; saves when due, stops when told. */
async function trainToTheEnd(
  context: Context,
  { asked, label, tokens, val }: Lesson,
  options: HeadOptions,
  training: VqaTraining,
): Promise<void> {
  const { log, params, progress, seed, signal } = context;
  const { fusion, head, journal } = training;
  const { model } = fusion;
  const { runtime } = model.ops;
  const labelsOf = (records: readonly AskedRecord[]): Int32Array =>
    Int32Array.from(records, ({ answer }) => label.get(answer)!);
  const rowsOf = (records: readonly AskedRecord[]): number[] => records.map(({ row }) => row);
  const bounds = batchBounds(asked.length, { ...params, ...options });
  const total = bounds.length * params.epochs;
  const onBatch = (): void => signal.throwIfAborted();

  const checkpoint = context.checkpoint(`${runtime.backend}-${runtime.threads}`);
  const folder = await checkpoint.restore();
  if (folder !== undefined) {
    await restoreVqaTraining(folder, training);
    log(`goes on from step ${head.step} of ${total}`);
  } else if (hasRunningCentroids(options)) {
    const features = await fuseRows(model, tokens, rowsOf(asked), { ...params, onBatch });
    startCentroids({ features, labels: labelsOf(asked) }, options, head);
  }

  const takeStep = (records: readonly AskedRecord[], learningRate: number) =>
    model.ops.tidy(() => {
      const batch = fusionBatch(model, tokens, rowsOf(records), params.textPool);
      const drop = dropout(model.ops, params.dropout, randomStream(seed, "vqa-dropout", head.step));
      const found = vqaGradients(model, { head, options }, { batch, labels: labelsOf(records), drop });
      const norm = fusion.norm(found.fusion);
      if (Number.isFinite(norm)) {
        head.head.trained.step(found.head, learningRate * params.headFactor);
        fusion.step(found.fusion, learningRate);
      }
      return { loss: found.loss, terms: found.terms, norm };
    });

  while (head.step < total) {
    const epoch = Math.floor(head.step / bounds.length);
    const order = randomStream(seed, "vqa-order", epoch).shuffle(asked);
    for (const [start, end] of bounds.slice(head.step % bounds.length)) {
      const learningRate = linearRate(head.step, total, params);
      const { loss, norm, terms } = takeStep(order.slice(start, end), learningRate);
      head.step++;
      if (!Number.isFinite(loss) || !Number.isFinite(norm)) throw diverged(loss, head.step, total);

      const report: StepReport = { epoch, loss, terms, learningRate };
      journal.step(report);
      if (end === bounds.at(-1)?.[1]) {
        const { shape } = options;
        const score =
          val &&
          (await validationAccuracy(model, { shape, weights: head.head.weights() }, val, {
            ...params,
            onBatch,
          }));
        journal.endEpoch(report, score, () => epochWeights(training));
      }
      progress(head.step, total, { loss }, "step");
      if (checkpoint.due()) await checkpoint.save((empty) => saveVqaTraining(empty, training));
      // Lets messages in: cancelling has to be heard.
      await setImmediate();
      if (head.step < total) signal.throwIfAborted();
    }
  }
}

/** Linear warm-up over a share of the steps, then on a line to 0. METHOD 9. */
export function linearRate(
  step: number,
  total: number,
  { learningRate, warmup }: { readonly learningRate: number; readonly warmup: number },
): number {
  const rising = Math.floor(warmup * total);
  if (step < rising) return (learningRate * (step + 1)) / rising;
  return (learningRate * (total - step)) / (total - rising);
}

function diverged(loss: number, step: number, total: number): NodeError {
  const what = Number.isFinite(loss) ? "gradient" : "loss";
  return new NodeError(`training diverged: the ${what} is not a finite number at step ${step} of ${total}`, {
    hint: "Lower learningRate or headFactor, lengthen warmup, or check the model that made the tokens.",
  });
}
