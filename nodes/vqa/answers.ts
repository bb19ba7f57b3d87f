import type { Tokens } from "../tokens.ts";

const numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
const articles = new Set(["a", "an", "the"]);

/**
 * An answer as it is compared: lower case, one space between words, no period at the end, number words as digits, no
 * articles (METHOD 9, after PubMedCLIP's create_label.py). What would be left without a word keeps its articles.
 */
export function normaliseAnswer(answer: string): string {
  const words = answer.toLowerCase().trim().replace(/\.$/, "").split(/\s+/);
  const told = words.filter((word) => !articles.has(word));
  return (told.length > 0 ? told : words)
    .map((word) => (numbers.includes(word) ? String(numbers.indexOf(word)) : word))
    .join(" ");
}

/** A question that is to be answered. */
export interface AskedRecord {
  /** Index among the records. */
  readonly row: number;
  /** Normalised. */
  readonly answer: string;
}

/** The questions that are asked, with their answers: the closed ones, or all. */
export function askedRecords({ header }: Tokens, closedOnly: boolean): readonly AskedRecord[] {
  return header.records.flatMap(({ answer, answerType }, row) =>
    closedOnly && answerType !== "closed" ? [] : [{ row, answer: normaliseAnswer(answer) }],
  );
}

/** The different answers in order of their code units. */
export function vocabularyOf(asked: readonly AskedRecord[]): readonly string[] {
  return [...new Set(asked.map(({ answer }) => answer))].toSorted((a, b) => (a < b ? -1 : 1));
}
