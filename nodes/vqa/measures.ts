import type { MetricsRecord } from "../formats.ts";
import type { Matrix } from "../heads/matrix.ts";
import { rocAuc } from "../metrics/auc.ts";
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

/**
 * Accuracy with answers that were never learnt left out (`accDrop`) and counted as wrong (`accWrong`), and AUC of each
 * answer against the rest. METHOD 9.
 *
 * @param scores [given, answers]
 * @param answers those that could be given
 * @param learnt those of the training questions
 */
export function measureAnswers({
  answers,
  given,
  learnt,
  scores,
}: {
  readonly given: readonly GivenAnswer[];
  readonly answers: readonly string[];
  readonly learnt: ReadonlySet<string>;
  readonly scores: Matrix;
}): MeasuredAnswers {
  const rows = [...given.keys()].filter((row) => learnt.has(given[row]!.answer));
  const covered = rows.map((row) => given[row]!);
  const yesNo = covered.filter(({ answer }) => answer === "yes" || answer === "no");
  const right = covered.filter(isRight).length;
  const aucs = answers.map((answer, k) =>
    rocAuc(
      rows.map((row) => scores.data[row * scores.cols + k]!),
      covered.map((asked) => Number(asked.answer === answer)),
    ),
  );
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
