import { convNorm, convNormBackward } from "./conv-norm.ts";
import type { ConvNormNames, ConvNormSaved, ConvNormShape, RunningUpdates } from "./conv-norm.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

/** Activations of `bottleneck`. */
export interface BottleneckSaved {
  readonly reduce: ConvNormSaved;
  readonly spread: ConvNormSaved;
  readonly expand: ConvNormSaved;
  readonly shortcut: ConvNormSaved | undefined;
  /** The block's input and what comes before its inner pooling, where it halves the grid. */
  readonly halved: readonly [outer: Tensor, inner: Tensor] | undefined;
  readonly y: Tensor;
}

export interface BottleneckShape {
  /** Halves the grid: by averages, behind the 3 x 3 convolution and in front of the shortcut's. */
  readonly halves: boolean;
  /** The shortcut is a convolution, and not the input itself. */
  readonly convolvesShortcut: boolean;
}

const [reduceShape, spreadShape, plainShape] = [
  { size: 1, stride: 1, relu: true },
  { size: 3, stride: 1, relu: true },
  { size: 1, stride: 1, relu: false },
] as const satisfies readonly ConvNormShape[];

/** CLIP's ResNet bottleneck: 1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut. x [B, H, W, C] -> [B, H', W', C']. */
export function bottleneck(
  ops: Ops,
  parameters: Parameters,
  name: string,
  {
    x,
    shape,
    keep,
    updates,
  }: { x: Tensor; shape: BottleneckShape; keep: Keep; updates: RunningUpdates | undefined },
): { y: Tensor; saved: BottleneckSaved | undefined } {
  const names = namesOf(name);
  return ops.tidy(() => {
    const run = (layer: ConvNormNames, input: Tensor, layerShape: ConvNormShape) =>
      convNorm(ops, parameters, layer, { x: input, shape: layerShape, keep, updates });
    const reduce = run(names.reduce, x, reduceShape);
    const spread = run(names.spread, reduce.y, spreadShape);
    const expand = run(names.expand, shape.halves ? ops.halve(spread.y) : spread.y, plainShape);
    const shortcut = shape.convolvesShortcut
      ? run(names.shortcut, shape.halves ? ops.halve(x) : x, plainShape)
      : undefined;
    const y = ops.relu(ops.add(expand.y, shortcut?.y ?? x));
    const kept = [...(updates?.values() ?? [])];
    if (!reduce.saved || !spread.saved || !expand.saved) return { y, saved: undefined, kept };
    const saved: BottleneckSaved = {
      reduce: reduce.saved,
      spread: spread.saved,
      expand: expand.saved,
      shortcut: shortcut?.saved,
      halved: shape.halves ? [x, spread.y] : undefined,
      y,
    };
    return { y, saved, kept };
  });
}

/** Backward pass of `bottleneck`: dy -> dx. Does not free what was saved. */
export function bottleneckBackward(
  ops: Ops,
  parameters: Parameters,
  name: string,
  { dy, saved, gradients }: { dy: Tensor; saved: BottleneckSaved; gradients: Gradients | undefined },
): Tensor {
  const names = namesOf(name);
  const made: Gradients | undefined = gradients && new Map();
  const { dx } = ops.tidy(() => {
    const back = (layer: ConvNormNames, dout: Tensor, kept: ConvNormSaved, shape: ConvNormShape): Tensor =>
      convNormBackward(ops, parameters, layer, { dy: dout, saved: kept, shape, gradients: made });
    const dsum = ops.reluBackward(dy, saved.y);
    const [outer, inner] = saved.halved ?? [];
    const dexpanded = back(names.expand, dsum, saved.expand, plainShape);
    const dspread = inner ? ops.halveInput(dexpanded, inner) : dexpanded;
    const dreduced = back(names.spread, dspread, saved.spread, spreadShape);
    const dinner = back(names.reduce, dreduced, saved.reduce, reduceShape);
    const dshortcut = saved.shortcut ? back(names.shortcut, dsum, saved.shortcut, plainShape) : dsum;
    const douter = saved.shortcut && outer ? ops.halveInput(dshortcut, outer) : dshortcut;
    return { dx: ops.add(dinner, douter), kept: [...(made?.values() ?? [])] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  return dx;
}

const namesOf = (name: string) => ({
  reduce: { conv: `${name}.conv1`, norm: `${name}.bn1` },
  spread: { conv: `${name}.conv2`, norm: `${name}.bn2` },
  expand: { conv: `${name}.conv3`, norm: `${name}.bn3` },
  shortcut: { conv: `${name}.downsample.0`, norm: `${name}.downsample.1` },
});
