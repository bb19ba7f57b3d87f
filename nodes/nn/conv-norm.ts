import type { ConvolutionShape } from "./image-ops.ts";
import type { Ops, Tensor } from "./ops.ts";
import { parameter } from "./parameters.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

const epsilon = 1e-5;
/** Share of the batch's statistics in the new running ones. */
const momentum = 0.1;

/** Names of a convolution (without bias) and its batch norm. */
export interface ConvNormNames {
  readonly conv: string;
  readonly norm: string;
}

export interface ConvNormShape extends ConvolutionShape {
  readonly relu: boolean;
}

/** What the backward pass needs. */
export interface ConvNormSaved {
  readonly inputShape: readonly number[];
  /** The input; only where weights are trained. */
  readonly x: Tensor | undefined;
  /** The result, where it went through a ReLU. */
  readonly y: Tensor | undefined;
  /** With the batch's statistics: the normalised convolution [M, C] and 1/σ [C]. */
  readonly normalised: { readonly values: Tensor; readonly rstd: Tensor } | undefined;
}

/** New running statistics by name: what a training pass leaves behind. The caller owns the tensors. */
export type RunningUpdates = Map<string, Tensor>;

interface ConvNormInput {
  /** [B, H, W, in] */
  readonly x: Tensor;
  readonly shape: ConvNormShape;
  readonly keep: Keep;
  /** Takes the new running statistics and asks for the batch's; the running ones are used where it is absent. */
  readonly updates: RunningUpdates | undefined;
}

/** Convolution, batch norm (eps 1e-5) and, where asked for, ReLU: [B, H, W, in] -> [B, H', W', out]. */
export function convNorm(
  ops: Ops,
  parameters: Parameters,
  names: ConvNormNames,
  { x, shape, keep, updates }: ConvNormInput,
): { y: Tensor; saved: ConvNormSaved | undefined } {
  // New statistics leave the scope as part of its result, and so do gradients below.
  return ops.tidy(() => {
    const made = updates
      ? normaliseBatch(ops, parameters, names, {
          convolved: ops.convolve(x, parameter(parameters, `${names.conv}.weight`), shape),
          updates,
        })
      : { z: normaliseRunning(ops, parameters, names, x, shape), normalised: undefined };
    const y = shape.relu ? ops.relu(made.z) : made.z;
    if (keep === "nothing") return { y, saved: undefined, kept: [...(updates?.values() ?? [])] };
    const saved: ConvNormSaved = {
      inputShape: x.shape,
      x: keep === "all" ? x : undefined,
      y: shape.relu ? y : undefined,
      normalised: made.normalised,
    };
    return { y, saved, kept: [...(updates?.values() ?? [])] };
  });
}

/**
 * Backward pass of `convNorm`: dy -> dx. Does not free what was saved.
 *
 * @param gradients takes the gradients of weights and norm, where they are wanted
 */
export function convNormBackward(
  ops: Ops,
  parameters: Parameters,
  names: ConvNormNames,
  {
    dy,
    saved,
    shape,
    gradients,
  }: { dy: Tensor; saved: ConvNormSaved; shape: ConvNormShape; gradients: Gradients | undefined },
): Tensor {
  const made: Gradients | undefined = gradients && new Map();
  const { dx } = ops.tidy(() => {
    const dz = saved.y ? ops.reluBackward(dy, saved.y) : dy;
    const weight = parameter(parameters, `${names.conv}.weight`);
    if (saved.normalised) {
      const dconvolved = throughBatch(ops, parameters, names, { dz, normalised: saved.normalised, made });
      if (made && saved.x) made.set(`${names.conv}.weight`, ops.convolveFilter(saved.x, dconvolved, shape));
      return {
        dx: ops.convolveInput(dconvolved, weight, saved.inputShape, shape),
        kept: [...(made?.values() ?? [])],
      };
    }
    const { scale } = foldedNorm(ops, parameters, names);
    const folded = ops.mul(weight, scale);
    if (made && saved.x) noteRunning(ops, parameters, names, { x: saved.x, dz, shape, made });
    return { dx: ops.convolveInput(dz, folded, saved.inputShape, shape), kept: [...(made?.values() ?? [])] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  return dx;
}

/** y = s·(W*x) + t is a convolution with s·W: the norm costs one addition. */
function normaliseRunning(
  ops: Ops,
  parameters: Parameters,
  names: ConvNormNames,
  x: Tensor,
  shape: ConvNormShape,
): Tensor {
  const { scale, shift } = foldedNorm(ops, parameters, names);
  const folded = ops.mul(parameter(parameters, `${names.conv}.weight`), scale);
  return ops.add(ops.convolve(x, folded, shape), shift);
}

/** A batch norm with fixed statistics as y = scale·z + shift, and 1/σ; all [C]. */
function foldedNorm(
  ops: Ops,
  parameters: Parameters,
  { norm }: ConvNormNames,
): { scale: Tensor; shift: Tensor; rstd: Tensor } {
  const of = (leaf: string): Tensor => parameter(parameters, `${norm}.${leaf}`);
  const rstd = ops.rsqrt(ops.add(of("running_var"), ops.scalar(epsilon)));
  const scale = ops.mul(of("weight"), rstd);
  return { scale, shift: ops.sub(of("bias"), ops.mul(of("running_mean"), scale)), rstd };
}

/**
 * Gradients of the parameters under fixed statistics. With G the gradient of the folded filter, dW = s G and
 * dβ = Σ dz; the convolution z itself is not kept, for Σ dz z = Σ W G over each filter, and so
 * dγ = (Σ W G - mean Σ dz) / σ.
 */
function noteRunning(
  ops: Ops,
  parameters: Parameters,
  names: ConvNormNames,
  { x, dz, shape, made }: { x: Tensor; dz: Tensor; shape: ConvNormShape; made: Gradients },
): void {
  const weight = parameter(parameters, `${names.conv}.weight`);
  const { scale, rstd } = foldedNorm(ops, parameters, names);
  const filter = ops.convolveFilter(x, dz, shape);
  const bias = ops.sumRows(channelRows(ops, dz));
  const along = ops.sumRows(ops.mul(weight, filter));
  const centred = ops.sub(along, ops.mul(parameter(parameters, `${names.norm}.running_mean`), bias));
  made.set(`${names.conv}.weight`, ops.mul(filter, scale));
  made.set(`${names.norm}.weight`, ops.mul(centred, rstd));
  made.set(`${names.norm}.bias`, bias);
}

/** Batch norm by the batch's mean and (biased) variance; the running variance is updated by the unbiased one. */
function normaliseBatch(
  ops: Ops,
  parameters: Parameters,
  { norm }: ConvNormNames,
  { convolved, updates }: { convolved: Tensor; updates: RunningUpdates },
): { z: Tensor; normalised: { values: Tensor; rstd: Tensor } } {
  const rows = channelRows(ops, convolved);
  const count = rows.shape[0];
  const share = oneBy(ops, count);
  const mean = ops.mul(ops.sumRows(rows), share);
  const centred = ops.sub(rows, mean);
  const squares = ops.sumRows(ops.square(centred));
  const rstd = ops.rsqrt(ops.add(ops.mul(squares, share), ops.scalar(epsilon)));
  const values = ops.mul(centred, rstd);
  const scaled = ops.mul(values, parameter(parameters, `${norm}.weight`));
  const z = ops.reshape(ops.add(scaled, parameter(parameters, `${norm}.bias`)), convolved.shape);
  const update = (leaf: string, batch: Tensor): void => {
    const old = ops.mul(parameter(parameters, `${norm}.${leaf}`), ops.scalar(1 - momentum));
    updates.set(`${norm}.${leaf}`, ops.add(old, ops.mul(batch, ops.scalar(momentum))));
  };
  update("running_mean", mean);
  update("running_var", ops.mul(squares, oneBy(ops, Math.max(1, count - 1))));
  return { z, normalised: { values, rstd } };
}

/** With n rows: dz = (n dx̂ - Σ dx̂ - x̂ Σ dx̂ x̂) / (n σ), dx̂ = dy γ; dγ = Σ dy x̂, dβ = Σ dy. */
function throughBatch(
  ops: Ops,
  parameters: Parameters,
  { norm }: ConvNormNames,
  {
    dz,
    normalised: { values, rstd },
    made,
  }: { dz: Tensor; normalised: { values: Tensor; rstd: Tensor }; made: Gradients | undefined },
): Tensor {
  const rows = channelRows(ops, dz);
  const share = oneBy(ops, rows.shape[0]);
  const dweight = ops.sumRows(ops.mul(rows, values));
  const dbias = ops.sumRows(rows);
  made?.set(`${norm}.weight`, dweight).set(`${norm}.bias`, dbias);
  const mean = ops.mul(dbias, share);
  const along = ops.mul(values, ops.mul(dweight, share));
  const slope = ops.mul(parameter(parameters, `${norm}.weight`), rstd);
  return ops.reshape(ops.mul(ops.sub(ops.sub(rows, mean), along), slope), dz.shape);
}

/** The reciprocal of a number that hangs on the batch: not one of the constants that are kept. */
function oneBy(ops: Ops, divisor: number): Tensor {
  return ops.tensor(Float32Array.of(1 / divisor), [1]);
}

/** [B, H, W, C] -> [B·H·W, C]. */
function channelRows(ops: Ops, x: Tensor): Tensor {
  const channels = x.shape[3] as number;
  return ops.reshape(x, [x.size / channels, channels]);
}
