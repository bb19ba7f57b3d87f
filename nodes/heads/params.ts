import { z } from "zod";

/** Which head is trained, by which losses. */
export const headMethod = z.enum(["probe", "mlp", "ran", "nmtune"]).default("probe").meta({
  description: "linear probing, an MLP before the classifier, or the MLP with RAN's or NMTune's losses",
});

/** What a method leaves open, on a task of any kind. */
export const methodParams = {
  ratio: z
    .number()
    .positive()
    .default(4)
    .meta({ description: "mlp, ran, nmtune: hidden width over feature width" }),
  residual: z.boolean().default(true).meta({
    description: "mlp, ran, nmtune: Z = s * M(F) + F with a trained scale s per feature",
    neutral: true,
  }),
  batchNorm: z
    .boolean()
    .default(true)
    .meta({ description: "mlp, ran, nmtune: batch norm in the MLP", neutral: true }),

  alpha: z.number().min(0).default(0.01).meta({ description: "ran: weight of L_MSE + L_COV" }),
  beta: z.number().min(0).default(0.015).meta({ description: "ran: weight of L_ADV" }),
  useMse: z.boolean().default(true).meta({ description: "ran: use L_MSE" }),
  useCov: z.boolean().default(true).meta({ description: "ran: use L_COV" }),
  useAdv: z.boolean().default(true).meta({ description: "ran: use L_ADV" }),
  mseReduction: z.enum(["mean_over_batch_sum_dim", "mean_all"]).default("mean_over_batch_sum_dim").meta({
    description: "ran: L_MSE as the paper prints it, or divided by the feature width as torch's MSELoss",
    neutral: "mean_over_batch_sum_dim",
  }),
  centroids: z.enum(["ema_mean", "batch_mean", "learned", "classifier_weight"]).default("ema_mean").meta({
    description: "ran: where L_ADV's class centroids come from",
    neutral: "ema_mean",
  }),
  centroidMomentum: z.number().min(0).max(1).default(0.9).meta({
    description: "ran, ema_mean: how much of a centroid stays at each step",
    neutral: 0.9,
  }),
  advFeature: z.enum(["z", "f"]).default("z").meta({
    description: "ran: L_ADV on the head's features, or on the frozen ones",
    neutral: "z",
  }),
  advNormalize: z.boolean().default(true).meta({
    description: "ran: distances of L_ADV between unit vectors, which bounds them",
    neutral: true,
  }),
  advCap: z.number().positive().nullable().default(null).meta({
    description: "ran: distances of L_ADV beyond this push no further; none for null",
    neutral: null,
  }),
  proxWeight: z.number().min(0).default(0).meta({
    description: "ran: weight, inside L_ADV, of the distance to the sample's own centroid",
    neutral: 0,
  }),

  variant: z.enum(["paper", "code"]).default("paper").meta({
    description:
      "nmtune: lambda (L_MSE + L_COV + L_SVD) as its paper has it, or L_MSE (mean_all) + 0.04 L_COV + 0.001 L_SVD as its code",
    neutral: "paper",
  }),
  lambda: z
    .number()
    .min(0)
    .default(0.01)
    .meta({ description: "nmtune, paper: weight of its three terms", neutral: 0.01 }),
};

/** Parameters of `head.train`. */
export const headParams = z.object({
  method: headMethod,
  task: z.enum(["multi-label", "single-label"]).default("multi-label").meta({
    description: "binary cross-entropy per label, or softmax cross-entropy over labels of which one is right",
    neutral: "multi-label",
  }),
  epochs: z.int().positive().default(30).meta({ description: "passes over the training data" }),
  batchSize: z
    .int()
    .positive()
    .default(64)
    .meta({ description: "samples per step; the last batch may be smaller" }),
  learningRate: z.number().positive().optional().meta({
    description: "at the first step; falls to 0 on a cosine. Default 0.01 for probe, 1e-3 for the others",
  }),
  weightDecay: z
    .number()
    .min(0)
    .default(1e-4)
    .meta({ description: "AdamW's, on all parameters of the head" }),
  fraction: z.number().gt(0).max(1).default(1).meta({
    unit: "ratio",
    description: "share of the training samples to use; smaller shares are part of larger ones",
    neutral: 1,
  }),
  threshold: z.enum(["0.5", "youden_val", "best_acc_val"]).default("0.5").meta({
    description: "decision threshold per label: fixed, or fitted on `val` by Youden's J or by accuracy",
    neutral: "0.5",
  }),
  selection: z.enum(["last", "best_val"]).default("last").meta({
    description:
      "keep the last epoch's weights, or those with the best macro AUC (accuracy for single-label) on `val`",
    neutral: "last",
  }),
  ...methodParams,
  perLabelBinary: z.boolean().default(false).meta({
    description: "ran: two centroids per label, of its positives and its negatives",
    neutral: false,
  }),
  includeNoFinding: z.boolean().default(true).meta({
    description: "ran, multi-label: samples without a positive form a class of their own in L_ADV",
    neutral: true,
  }),
});

export type HeadParams = z.output<typeof headParams>;

const mlpOnly = ["ratio", "residual", "batchNorm"] as const;
const ranOnly = [
  "alpha",
  "beta",
  "useMse",
  "useCov",
  "useAdv",
  "mseReduction",
  "centroids",
  "centroidMomentum",
  "advFeature",
  "advNormalize",
  "advCap",
  "perLabelBinary",
  "includeNoFinding",
  "proxWeight",
] as const;

const nmtuneOnly = ["variant", "lambda"] as const;

/** The parameters that no other method uses. */
const ownOf = { probe: [], mlp: mlpOnly, ran: ranOnly, nmtune: nmtuneOnly } as const;

/** What is impossible about a combination of parameters, or undefined. */
export function checkHeadParams(params: HeadParams): string | undefined {
  const unused = unusedParams(params);
  if (unused) return unused;
  const { method, task } = params;
  if (method !== "probe" && params.batchNorm && params.batchSize === 1) {
    return "batchSize 1 leaves batch norm nothing to average over: use 2 or more, or batchNorm: false";
  }
  if (task === "single-label" && params.threshold !== "0.5") {
    return `threshold ${params.threshold} is for multi-label tasks: a single-label decision takes the largest score`;
  }
  if (method === "nmtune" && params.variant === "code" && params.lambda !== headParams.parse({}).lambda) {
    return "lambda weighs the terms of variant paper: variant code has weights of its own";
  }
  if (method === "ran" && params.useAdv) return checkAdversarial(params);
  return undefined;
}

/** A value that changes nothing would pass for an ablation that was never made. */
function unusedParams(params: HeadParams): string | undefined {
  const { method } = params;
  const used: readonly string[] = method === "probe" ? [] : [...mlpOnly, ...ownOf[method]];
  const defaults = headParams.parse({});
  const names = [...mlpOnly, ...ranOnly, ...nmtuneOnly].filter(
    (name) => !used.includes(name) && params[name] !== defaults[name],
  );
  if (names.length === 0) return undefined;
  const users = new Set(names.map((name) => usersOf(name)));
  return `method ${method} does not use ${names.join(", ")}: leave it out, or give it to ${[...users].join(" and ")} alone`;
}

function usersOf(name: string): string {
  if ((nmtuneOnly as readonly string[]).includes(name)) return "nmtune";
  return (ranOnly as readonly string[]).includes(name) ? "ran" : "mlp, ran and nmtune";
}

function checkAdversarial(params: HeadParams): string | undefined {
  const { centroids, task } = params;
  if (params.advFeature === "f" && (centroids === "ema_mean" || centroids === "batch_mean")) {
    return `advFeature f with centroids ${centroids} makes L_ADV a constant: use centroids learned or classifier_weight`;
  }
  if (params.perLabelBinary && task === "single-label") {
    return "perLabelBinary is for multi-label tasks: a single-label task has one class per sample";
  }
  if (params.perLabelBinary && centroids === "classifier_weight") {
    return "perLabelBinary needs two centroids per label, and the classifier has one row: use other centroids";
  }
  return undefined;
}
