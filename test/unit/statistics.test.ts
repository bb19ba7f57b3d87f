import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { BlobRef, Digest } from "../../engine/sdk.ts";
import { dataStatistics } from "../../nodes/data-statistics.ts";
import { readMetrics, writeImages, writePairs, writeQuestions } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

const image = (n: number): BlobRef => ({
  digest: `sha256:${String(n).padStart(64, "0")}` as Digest,
  size: 1,
});

async function countsOf(input: string, write: (path: string) => Promise<void>, params = {}) {
  const path = join(await mkdtemp(join(tmpdir(), "ranflow-statistics-")), "records");
  await write(path);
  const { outputs } = await runNode(dataStatistics, { inputs: { [input]: path }, params });
  return readMetrics(outputs["metrics"]!);
}

it("counts pairs, which do not say where they come from", async () => {
  const pairs = [
    { id: "a", image: image(1), caption: "One  two" },
    { id: "b", image: image(1), caption: "Three four five six" },
  ];
  const params = { dataset: "rocov2", split: "train" };
  expect(await countsOf("pairs", (path) => writePairs(path, pairs), params)).toEqual({
    dataset: "rocov2",
    split: "train",
    headline: "images",
    images: 1,
    texts: 2,
    words: 3,
  });
});

it("counts labels where they are known", async () => {
  const header = { dataset: "chexpert", split: "test", labels: ["A", "B", "C"] };
  const records = [
    { id: "a", image: image(1), y: [1, 1, null] },
    { id: "b", image: image(2), y: [0, null, null] },
  ] as const;
  expect(await countsOf("images", (path) => writeImages(path, header, records))).toMatchObject({
    dataset: "chexpert",
    split: "test",
    images: 2,
    findings: 1,
    "prevalence.A": 0.5,
    "prevalence.B": 1,
    "prevalence.C": null,
  });
});

it("counts questions and their answers", async () => {
  const ask = (id: string, answer: string, answerType: "open" | "closed") => ({
    id,
    image: image(1),
    question: "Is it so?",
    answer,
    answerType,
    lang: "en",
  });
  const records = [ask("a", "Yes", "closed"), ask("b", "yes ", "closed"), ask("c", "T2", "open")];
  const header = { dataset: "slake", split: "val" };
  expect(await countsOf("questions", (path) => writeQuestions(path, header, records))).toMatchObject({
    images: 1,
    texts: 3,
    words: 3,
    answers: 3,
    closed: 2,
    distinctAnswers: 2,
  });
});

it("takes one input, and a name for pairs", () => {
  const check = (params: object, bound: readonly string[]) =>
    dataStatistics.checkInputs?.(dataStatistics.params.parse(params) as never, bound);
  expect(check({}, ["images"])).toBeUndefined();
  expect(check({}, [])).toMatch(/bind one of the inputs/);
  expect(check({}, ["images", "pairs"])).toMatch(/not 2/);
  expect(check({ dataset: "rocov2" }, ["pairs"])).toMatch(/give `dataset` and `split`/);
});
