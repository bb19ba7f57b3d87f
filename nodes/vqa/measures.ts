import type { MetricsRecord } from "../formats.ts";
import type { Matrix } from "../heads/matrix.ts";
import { weightedAuc } from "../metrics/auc.ts";
import { bootstrapIntervals } from "../metrics/bootstrap.ts";
import { macroMean } from "../metrics/macro.ts";

/** A question with its own answer and the one that was given, both normalised. */
export interface GivenAnswer {
  /** Index among the dataset's records. */
  readonly record: number;
  readonly answer: string;
  readonly given: string;
  readonly score: number;
}

/** What an evaluation says of its answers. */
export interface MeasuredAnswers {
  /** Questions whose answer was learnt. */
  readonly covered: number;
  readonly record: MetricsRecord & { readonly accDrop: number | null; readonly accWrong: number | null };
  readonly perAnswer: MetricsRecord;
}

/** Answers to what was asked. */
export interface GivenAnswers {
  readonly given: readonly GivenAnswer[];
  /** Those that could be given. */
  readonly answers: readonly string[];
  /** Those of the training questions. */
  readonly learnt: ReadonlySet<string>;
  /** [given, answers] */
  readonly scores: Matrix;
}

/**
 * Accuracy with answers that were never learnt left out (`accDrop`) and counted as wrong (`accWrong`), and AUC of each
 * answer against the rest. METHOD 9.
 */
export function measureAnswers(measured: GivenAnswers): MeasuredAnswers {
  const { answers, given, learnt } = measured;
  const rows = [...given.keys()].filter((row) => learnt.has(given[row]!.answer));
  const covered = rows.map((row) => given[row]!);
  const yesNo = covered.filter(({ answer }) => answer === "yes" || answer === "no");
  const right = covered.filter(isRight).length;
  const aucs = answerAucs(measured).map((auc) => auc());
  const auc = macroMean(aucs);
  return {
    covered: covered.length,
    record: {
      auc: auc.mean,
      n: given.length,
      coverage: share(covered.length, given.length),
      accDrop: share(right, covered.length),
      accWrong: share(right, given.length),
      accYesNo: share(yesNo.filter(isRight).length, yesNo.length),
      yesNo: yesNo.length,
      commonest: share(commonest(covered), covered.length),
      answers: answers.length,
      excluded: auc.excluded.length,
    },
    perAnswer: Object.fromEntries(
      answers.flatMap((answer, k) => (aucs[k] === null ? [] : [[`auc.${answer}`, aucs[k]!]])),
    ),
  };
}

/** Bootstrap intervals of accuracy, as `unseen` has it, and AUC over the questions. */
export function answerIntervals(
  measured: GivenAnswers,
  {
    unseen,
    ...options
  }: {
    readonly unseen: "drop" | "wrong";
    readonly bootstrap: number;
    readonly confidence: number;
    readonly seed: number;
  },
): MetricsRecord {
  const { given, learnt } = measured;
  const rows = [...given.keys()].filter((row) => learnt.has(given[row]!.answer));
  const counted = unseen === "drop" ? rows : [...given.keys()];
  const right = rows.filter((row) => isRight(given[row]!));
  const aucs = answerAucs(measured);
  return bootstrapIntervals(
    given.length,
    (weights) => {
      const times = (some: readonly number[]): number => some.reduce((sum, row) => sum + weights[row]!, 0);
      return {
        acc: share(times(right), times(counted)),
        auc: macroMean(aucs.map((auc) => auc(weights))).mean,
      };
    },
    options,
  );
}

/** AUC of each answer against the rest, over the questions whose answer was learnt, as a function of their weights. */
function answerAucs({
  answers,
  given,
  learnt,
  scores,
}: GivenAnswers): readonly ReturnType<typeof weightedAuc>[] {
  return answers.map((answer, k) =>
    weightedAuc(
      given.map((_, row) => scores.data[row * scores.cols + k]!),
      given.map((asked) => (learnt.has(asked.answer) ? Number(asked.answer === answer) : null)),
    ),
  );
}

const isRight = ({ answer, given }: GivenAnswer): boolean => answer === given;

/** How often the most frequent answer occurs. */
function commonest(asked: readonly GivenAnswer[]): number {
  const counts = new Map<string, number>();
  for (const { answer } of asked) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  return Math.max(0, ...counts.values());
}

function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}
