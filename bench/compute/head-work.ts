import type { Runtime } from "../../nodes/compute/types.ts";
import { initialWeights } from "../../nodes/heads/head.ts";
import { headParams } from "../../nodes/heads/params.ts";
import { startTraining, trainHead } from "../../nodes/heads/train.ts";
import type { StepReport } from "../../nodes/heads/train.ts";
import { trainingOptions } from "../../nodes/heads/training-set.ts";
import { randomStream } from "../../nodes/random.ts";
import type { HeadWork } from "./pairs.ts";

/** A head's training on random features and 14 labels, in batches of 64: from the start each time it is begun. */
export function headTraining(
  runtime: Runtime,
  { method, rows, dim }: HeadWork,
  epochs: number,
): () => Generator<StepReport> {
  const random = randomStream(1, "bench");
  const width = 14;
  const features = Float32Array.from({ length: rows * dim }, () => random.normal());
  const labels = Int32Array.from({ length: rows * width }, () => (random.next() < 0.15 ? 1 : 0));
  const options = trainingOptions(headParams.parse({ method, epochs }), {
    header: {
      dataset: "bench",
      split: "train",
      labels: Array.from({ length: width }, (_, k) => `label ${k}`),
      ids: [],
      feature: "projected",
    },
    count: rows,
    dim,
    features,
    labels,
  });
  const data = { features: { rows, cols: dim, data: features }, labels };
  const order = Array.from({ length: rows }, (_, row) => row);
  return function* () {
    const state = startTraining(runtime, data, options, initialWeights(options.shape, 1), 1);
    yield* trainHead(data, options, state, () => order);
    state.head.trained.dispose();
  };
}
