import { NodeError } from "../../engine/sdk.ts";
import type { Features } from "../features.ts";
import { noFinding } from "../metrics/label-map.ts";
import { randomStream } from "../random.ts";
import type { HeadTask, RanOptions } from "./objective.ts";
import { gatherRows } from "./matrix.ts";
import type { HeadParams } from "./params.ts";
import { batchBounds, type HeadOptions, type TrainingData, type TrainingOptions } from "./train.ts";

/** Learning rate where none is given: NMTune's. METHOD 8.1. */
const defaultRate = { probe: 0.01, mlp: 1e-3, ran: 1e-3, nmtune: 1e-3 } as const;

/**
 * A seeded share of the samples, in their own order; smaller shares are part of larger ones.
 *
 * @throws NodeError where there is no sample at all
 */
export function subset(all: Features, fraction: number, seed: number): Features {
  if (all.count === 0) {
    throw new NodeError(`the training features (${all.header.dataset}, ${all.header.split}) hold no sample`, {
      hint: "Check the loader's split and limit.",
    });
  }
  if (fraction === 1) return all;
  const shuffled = randomStream(seed, "head-fraction").shuffle(all.header.ids.map((_, row) => row));
  const rows = shuffled.slice(0, Math.max(1, Math.round(fraction * all.count))).toSorted((a, b) => a - b);
  const width = all.header.labels.length;
  const labels = new Int32Array(rows.length * width);
  rows.forEach((row, i) => labels.set(all.labels.subarray(row * width, (row + 1) * width), i * width));
  return {
    header: { ...all.header, ids: rows.map((row) => all.header.ids[row] as string) },
    count: rows.length,
    dim: all.dim,
    features: gatherRows({ rows: all.count, cols: all.dim, data: all.features }, rows).data,
    labels,
  };
}

/**
 * Features and labels as the task wants them: for single-label, the index of the one positive label.
 *
 * @throws NodeError where a single-label sample has no or several positive labels
 */
export function trainingData(
  { count, dim, features, labels, header }: Features,
  task: HeadTask,
): TrainingData {
  const matrix = { rows: count, cols: dim, data: features };
  if (task === "multi-label") return { features: matrix, labels };
  const width = header.labels.length;
  const classes = Int32Array.from({ length: count }, (_, row) => {
    const own = labels.subarray(row * width, (row + 1) * width);
    const first = own.indexOf(1);
    if (first < 0 || own.indexOf(1, first + 1) >= 0) {
      throw new NodeError(
        `"${header.ids[row]}" (${header.dataset}) has ${first < 0 ? "no" : "several"} positive labels, and task single-label needs exactly one`,
        { hint: "Use task multi-label." },
      );
    }
    return first;
  });
  return { features: matrix, labels: classes };
}

/** The options of a training run on these samples. */
export function trainingOptions(params: HeadParams, train: Features): TrainingOptions {
  const { header, dim, count } = train;
  if (!train.labels.some((label) => label >= 0)) {
    throw new NodeError(`no label of the ${count} training samples (${header.dataset}) is known`, {
      hint: "Check the dataset's label table and the loader's handling of uncertain labels.",
    });
  }
  const options: TrainingOptions = {
    ...headOptions(params, dim, header.labels),
    epochs: params.epochs,
    batchSize: params.batchSize,
    learningRate: params.learningRate ?? defaultRate[params.method],
    weightDecay: params.weightDecay,
  };
  if (batchBounds(count, options).length === 0) {
    throw new NodeError("one training sample is too few for batch norm", {
      hint: "Give more samples, raise fraction, or set batchNorm: false.",
    });
  }
  return options;
}

/** The head on features of `dim` values for these labels, and its loss. */
export function headOptions(params: HeadParams, dim: number, labels: readonly string[]): HeadOptions {
  const mlp = params.method !== "probe";
  const outputs = labels.length;
  const noFindingLabel = labels.indexOf(noFinding);
  return {
    shape: {
      dim,
      hidden: mlp ? Math.max(1, Math.round(params.ratio * dim)) : 0,
      residual: mlp && params.residual,
      batchNorm: mlp && params.batchNorm,
      outputs,
    },
    objective: {
      task: params.task,
      outputs,
      noFindingLabel: noFindingLabel < 0 ? undefined : noFindingLabel,
      ran: params.method === "ran" ? ranOptions(params) : undefined,
      nmtune: params.method === "nmtune" ? { variant: params.variant, lambda: params.lambda } : undefined,
    },
  };
}

function ranOptions(params: HeadParams): RanOptions {
  return { ...params, advCap: params.advCap ?? undefined };
}

/** Says which labels cannot be learnt because they have one class only. */
export function warnOfEmptyLabels(
  { header, labels, count }: Features,
  warn: (message: string) => void,
): void {
  const width = header.labels.length;
  const oneClass = header.labels.filter((_, k) => {
    let positives = 0;
    let negatives = 0;
    for (let row = 0; row < count; row++) {
      if (labels[row * width + k] === 1) positives++;
      else if (labels[row * width + k] === 0) negatives++;
    }
    return positives === 0 || negatives === 0;
  });
  if (oneClass.length > 0) {
    warn(`only one class among the ${count} training samples: ${oneClass.join(", ")}`);
  }
}

/**
 * Checks that validation features can be scored by a head trained on these.
 *
 * @throws NodeError naming what differs
 */
export function requireComparable(train: Features, val: Features): void {
  if (val.dim !== train.dim) {
    throw new NodeError(`training features have ${train.dim} values and validation features ${val.dim}`, {
      hint: "Bind both to the same clip.embed-images node.",
    });
  }
  if (val.header.labels.join("\n") !== train.header.labels.join("\n")) {
    throw new NodeError(
      `training labels are ${train.header.labels.join(", ")} and validation labels ${val.header.labels.join(", ")}`,
      { hint: "Use the same loader, and the same label options, for both splits." },
    );
  }
  if (val.count === 0) {
    throw new NodeError(`the validation features (${val.header.dataset}) hold no sample`, {
      hint: "Check the loader's split and limit.",
    });
  }
}
