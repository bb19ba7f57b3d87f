import { z } from "zod";
import { checkHeadParams, headMethod, headParams, methodParams, type HeadParams } from "../heads/params.ts";

const count = z.int().min(1);

/** Parameters of `vqa.train`. */
export const vqaParams = z.object({
  method: headMethod,
  classifier: z.enum(["linear", "meter"]).default("linear").meta({
    description: "probe: a linear layer on h, or METER's own head: Linear, LayerNorm, GELU and Linear",
    neutral: "linear",
  }),
  closedOnly: z.boolean().default(true).meta({
    description: "learn from closed questions alone; their answers are then the ones it can give",
  }),
  loss: z.enum(["softmax", "bce"]).default("softmax").meta({
    description:
      "cross-entropy over the answers, or binary cross-entropy of each answer times their number, as METER",
    neutral: "softmax",
  }),
  textPool: z.enum(["eot", "first"]).default("eot").meta({
    description: "text token that is pooled: the one that the encoder reads texts from, or the first",
    neutral: "eot",
  }),
  layers: count.default(6).meta({ description: "layers of each stream of the fusion" }),
  width: count.default(768).meta({ description: "of the fusion; its feature h has twice as many values" }),
  heads: count.default(12).meta({ description: "attention heads of the fusion" }),
  ffn: count.optional().meta({ description: "hidden width of the fusion's MLPs; 4 * width unless told" }),
  dropout: z
    .number()
    .min(0)
    .lt(1)
    .default(0.1)
    .meta({ description: "in the fusion, while it is trained", unit: "ratio" }),

  epochs: count.default(20).meta({ description: "passes over the questions" }),
  batchSize: count.default(32).meta({ description: "questions per step; the last batch may be smaller" }),
  learningRate: z.number().positive().default(1e-4).meta({ description: "peak, of the fusion" }),
  headFactor: z
    .number()
    .positive()
    .default(10)
    .meta({ description: "learning rate of the head over the fusion's" }),
  warmup: z.number().min(0).max(1).default(0.1).meta({
    description: "share of the steps in which the rate rises to its peak; then it falls to 0 on a line",
    unit: "ratio",
  }),
  weightDecay: z.number().min(0).default(0.01).meta({
    description: "AdamW's, on the matrices and tables of the fusion and on all of the head",
  }),
  beta1: z.number().min(0).lt(1).default(0.9).meta({ description: "decay of the first moment" }),
  beta2: z.number().min(0).lt(1).default(0.98).meta({ description: "decay of the second moment" }),
  selection: z.enum(["last", "best_val"]).default("last").meta({
    description: "keep the last epoch's weights, or those with the best accuracy on `val`",
    neutral: "last",
  }),

  ...methodParams,
});

export type VqaParams = z.output<typeof vqaParams>;

/** The head's parameters as `head.train` has them. */
export function headParamsOf(params: VqaParams): HeadParams {
  return headParams.parse({ ...params, task: "single-label" });
}

/** What is impossible about a combination of parameters, or undefined. */
export function checkVqaParams(params: VqaParams): string | undefined {
  const { classifier, heads, method, width } = params;
  if (classifier === "meter" && method !== "probe") {
    return `classifier meter takes the place of the linear probe: method ${method} has a head of its own`;
  }
  if (width % heads !== 0) return `width ${width} is no multiple of the ${heads} heads`;
  return checkHeadParams(headParamsOf(params));
}
