import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { EvaluateVqaParams } from "../evaluate-vqa.ts";
import { predictLogits } from "../heads/compute.ts";
import type { Matrix } from "../heads/matrix.ts";
import { probabilities } from "../heads/scores.ts";
import { opsOf } from "../nn/ops.ts";
import { writeMetrics, writeTable } from "../records.ts";
import { readTokens, type Tokens } from "../tokens.ts";
import { askedRecords, vocabularyOf, type AskedRecord } from "./answers.ts";
import { fuseRows } from "./batch.ts";
import { answerIntervals, measureAnswers, type GivenAnswer } from "./measures.ts";
import { readVqaModel, uploadFusion, type StoredVqaModel } from "./model.ts";

type Context = RunContext<
  EvaluateVqaParams,
  { readonly model: Port; readonly tokens: Port },
  { readonly metrics: Port; readonly predictions: Port }
>;

/** The work of `evaluate.vqa` (METHOD 9). */
export async function runVqaEvaluation(context: Context): Promise<void> {
  const { inputs, outputs, params, seed } = context;
  const model = await readVqaModel(inputs.model);
  const tokens = await readTokens(inputs.tokens);
  requireFitting(model, tokens);
  const asked = questionsToAsk(tokens, params);
  const allowed = allowedAnswers(model.head.header.labels, asked, params);

  const logits = await answerLogits(context, model, tokens, asked);
  const answers = allowed.map((index) => model.head.header.labels[index]!);
  const scores = probabilities(
    columnsOf(logits, allowed),
    model.fusion.header.loss === "bce" ? "multi-label" : "single-label",
  );
  const given = asked.map((record, row) => givenAnswer(record, row, scores, answers));

  const { dataset, split } = tokens.header;
  const learnt = new Set(model.head.header.labels);
  const measured = measureAnswers({ given, answers, learnt, scores });
  if (measured.covered === 0) {
    context.log(`no answer of ${dataset} (${split}) was learnt: there is no accuracy`, "warning");
  }
  await writeMetrics(outputs.metrics.path, {
    dataset,
    split,
    domain: dataset === model.head.header.dataset ? "id" : "ood",
    headline: params.headline,
    acc: params.unseen === "drop" ? measured.record.accDrop : measured.record.accWrong,
    ...measured.record,
    ...answerIntervals({ given, answers, learnt, scores }, { ...params, seed }),
    ...measured.perAnswer,
  });
  await writeTable(outputs.predictions.path, predictions(tokens, given, learnt));
}

/** @throws NodeError where the tokens are not of the encoder that the model was trained with */
function requireFitting({ fusion }: StoredVqaModel, { image, text }: Tokens): void {
  const { inputs } = fusion.header;
  if (image.width === inputs.image && text.width === inputs.text) return;
  throw new NodeError(
    `the model takes image tokens of ${inputs.image} and text tokens of ${inputs.text} values, and these have ${image.width} and ${text.width}`,
    { hint: "Ask questions that were embedded by the model that the training questions were embedded by." },
  );
}

/** @throws NodeError where none is left */
function questionsToAsk(
  tokens: Tokens,
  { closedOnly, yesNoOnly }: EvaluateVqaParams,
): readonly AskedRecord[] {
  const asked = askedRecords(tokens, closedOnly).filter(({ answer }) => !yesNoOnly || isYesNo(answer));
  if (asked.length > 0) return asked;
  const { dataset, records, split } = tokens.header;
  const kind = yesNoOnly ? "answered by yes or no" : closedOnly ? "closed" : "there";
  throw new NodeError(`none of the ${records.length} questions of ${dataset} (${split}) is ${kind}`, {
    hint: "Check the loader's split, lang and limit.",
  });
}

/** Indices of the answers to choose from. @throws NodeError where there is none */
function allowedAnswers(
  labels: readonly string[],
  asked: readonly AskedRecord[],
  { restrictLogits }: EvaluateVqaParams,
): readonly number[] {
  const occurring = new Set(vocabularyOf(asked));
  const allowed = [...labels.keys()].filter((k) => restrictLogits === "none" || occurring.has(labels[k]!));
  if (allowed.length > 0) return allowed;
  throw new NodeError("no answer that was learnt occurs among the asked questions", {
    hint: "With `restrictLogits: none` the model may give any answer.",
  });
}

/** [asked, answers] */
async function answerLogits(
  { compute, params, progress, provenance, signal }: Context,
  { fusion, head }: StoredVqaModel,
  tokens: Tokens,
  asked: readonly AskedRecord[],
): Promise<Matrix> {
  const runtime = await openRuntime(compute);
  provenance(runtime.provenance);
  const ops = opsOf(runtime);
  const { header, values } = fusion;
  const parameters = uploadFusion(ops, header, values);
  try {
    const h = await fuseRows(
      { ops, config: header, parameters },
      tokens,
      asked.map(({ row }) => row),
      {
        textPool: header.textPool,
        batchSize: params.batchSize,
        onBatch(done) {
          progress(done, asked.length, undefined, "question");
          signal.throwIfAborted();
        },
      },
    );
    return predictLogits({ runtime, shape: head.shape, weights: head.weights }, h);
  } finally {
    ops.dispose(...parameters.values());
  }
}

function columnsOf({ cols, data, rows }: Matrix, columns: readonly number[]): Matrix {
  const picked = new Float32Array(rows * columns.length);
  for (let row = 0; row < rows; row++) {
    columns.forEach((column, at) => (picked[row * columns.length + at] = data[row * cols + column]!));
  }
  return { rows, cols: columns.length, data: picked };
}

function givenAnswer(
  { answer, row: record }: AskedRecord,
  row: number,
  { cols, data }: Matrix,
  answers: readonly string[],
): GivenAnswer {
  const scores = data.subarray(row * cols, (row + 1) * cols);
  let best = 0;
  for (let k = 1; k < cols; k++) if (scores[k]! > scores[best]!) best = k;
  return { record, answer, given: answers[best]!, score: scores[best]! };
}

const isYesNo = (answer: string): boolean => answer === "yes" || answer === "no";

function* predictions({ header }: Tokens, given: readonly GivenAnswer[], learnt: ReadonlySet<string>) {
  for (const { answer, given: predicted, record, score } of given) {
    const { id, question } = header.records[record]!;
    yield {
      id,
      question: header.questions[question]!.text,
      answer,
      predicted,
      // Nine digits tell any two single-precision scores apart.
      score: Number(score.toPrecision(9)),
      right: answer === predicted,
      learnt: learnt.has(answer),
    };
  }
}
