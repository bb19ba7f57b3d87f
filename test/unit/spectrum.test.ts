import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { analyzeSpectrum } from "../../nodes/analyze-spectrum.ts";
import { writeFeatures } from "../../nodes/features.ts";
import { matrix, transpose } from "../../nodes/heads/matrix.ts";
import { spectrumOf } from "../../nodes/metrics/spectrum.ts";
import { randomStream } from "../../nodes/random.ts";
import { readMetrics, readTable } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

const random = randomStream(1, "spectrum");
const values = Float32Array.from({ length: 12 * 5 }, () => random.normal());
const plain = { center: "none", normalize: false } as const;

it("has the same singular values for a matrix and its transpose, and their squares add up to its own", () => {
  const tall = matrix(12, 5, values);
  const { singularValues } = spectrumOf(tall, plain);
  expect(singularValues).toHaveLength(5);
  spectrumOf(transpose(tall), plain).singularValues.forEach((value, i) =>
    expect(value).toBeCloseTo(singularValues[i]!, 8),
  );
  const squares = values.reduce((sum, value) => sum + value ** 2, 0);
  expect(singularValues.reduce((sum, value) => sum + value ** 2, 0)).toBeCloseTo(squares, 6);
});

it("gives ln k and ln k for k equal directions, 0 and 0 for one, and nothing odd for none", () => {
  const identity = matrix(3, 3, Float32Array.from([2, 0, 0, 0, 2, 0, 0, 0, 2]));
  expect(spectrumOf(identity, plain).sve).toBeCloseTo(Math.log(3), 10);
  expect(spectrumOf(identity, plain).lsvr).toBeCloseTo(Math.log(3), 10);
  const line = matrix(2, 2, Float32Array.from([1, 2, 2, 4]));
  expect(spectrumOf(line, plain).sve).toBeCloseTo(0, 10);
  expect(spectrumOf(line, plain).lsvr).toBeCloseTo(0, 10);
  expect(spectrumOf(matrix(2, 2, new Float32Array(4)), plain)).toMatchObject({ sve: 0, lsvr: 0 });
});

it("runs as a node", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-spectrum-"));
  const ids = Array.from({ length: 12 }, (_, i) => `image ${i}`);
  const header = { dataset: "chestxray14", split: "test", labels: [], ids, feature: "projected" } as const;
  await writeFeatures(folder, header, values, new Int32Array());
  const { outputs } = await runNode(analyzeSpectrum, { inputs: { features: folder } });
  const metrics = await readMetrics(outputs["metrics"]!);
  expect(metrics).toMatchObject({ dataset: "chestxray14", split: "test", headline: "sve", n: 12, dim: 5 });
  const shares = (await readTable(outputs["spectrum"]!)).map(({ share }) => Number(share));
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
  expect(metrics["lsvr"]).toBeCloseTo(-Math.log(shares[0]!), 10);
  expect(metrics["sve"]).toBeCloseTo(-shares.reduce((sum, p) => sum + p * Math.log(p), 0), 10);
});
