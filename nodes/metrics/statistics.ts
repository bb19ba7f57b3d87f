import type { InputArtifact } from "../../engine/sdk.ts";
import type { ImageLabels, ImageQuestion, ImageText, MetricsRecord } from "../formats.ts";
import { readImages, readPairs, readQuestions } from "../records.ts";

/** The records of one loader. */
export type Counted =
  | { readonly kind: "pairs"; readonly records: readonly ImageText[] }
  | { readonly kind: "images"; readonly labels: readonly string[]; readonly records: readonly ImageLabels[] }
  | { readonly kind: "questions"; readonly records: readonly ImageQuestion[] };

/** The records of the one input that is bound, with what its header says of them. */
export async function readCounted(
  inputs: Readonly<Partial<Record<Counted["kind"], InputArtifact | undefined>>>,
): Promise<{ readonly counted: Counted; readonly dataset?: string; readonly split?: string }> {
  if (inputs.pairs) return { counted: { kind: "pairs", records: await readPairs(inputs.pairs.path) } };
  if (inputs.images) {
    const { header, records } = await readImages(inputs.images.path);
    return { ...header, counted: { kind: "images", labels: header.labels, records } };
  }
  if (!inputs.questions) throw new Error("internal error: no records to count");
  const { header, records } = await readQuestions(inputs.questions.path);
  return { ...header, counted: { kind: "questions", records } };
}

/** Counts of a loader's records, as dataset tables print them. */
export function statisticsOf(counted: Counted): MetricsRecord {
  const images = new Set(counted.records.map(({ image }) => image.digest)).size;
  switch (counted.kind) {
    case "pairs":
      return {
        images,
        texts: counted.records.length,
        words: meanWords(counted.records.map(({ caption }) => caption)),
      };
    case "images":
      return { images, ...labelCounts(counted.labels, counted.records) };
    case "questions": {
      const { records } = counted;
      return {
        images,
        texts: records.length,
        words: meanWords(records.map(({ question }) => question)),
        answers: records.length,
        closed: records.filter(({ answerType }) => answerType === "closed").length,
        distinctAnswers: new Set(records.map(({ answer }) => answer.trim().toLowerCase())).size,
      };
    }
  }
}

function meanWords(texts: readonly string[]): number {
  const words = texts.reduce((sum, text) => sum + text.split(/\s+/).filter(Boolean).length, 0);
  return texts.length === 0 ? 0 : words / texts.length;
}

function labelCounts(labels: readonly string[], records: readonly ImageLabels[]): MetricsRecord {
  const positives = labels.map((_, index) => records.filter(({ y }) => y[index] === 1).length);
  const known = labels.map((_, index) => records.filter(({ y }) => y[index] !== null).length);
  const total = positives.reduce((sum, count) => sum + count, 0);
  return {
    findings: records.length === 0 ? 0 : total / records.length,
    ...Object.fromEntries(
      labels.map((label, index) => [
        `prevalence.${label}`,
        known[index] === 0 ? null : positives[index]! / known[index]!,
      ]),
    ),
  };
}
