import type { Ops, Tensor } from "./ops.ts";

/** A square convolution whose images keep their size but for the stride: `(size - 1) / 2` zeros around them. */
export interface ConvolutionShape {
  /** Side of the filter: odd. */
  readonly size: number;
  readonly stride: 1 | 2;
}

/** Operations on images [B, H, W, C]. Filters are matrices [size·size·in, out]. */
export interface ImageOps {
  convolve(x: Tensor, filter: Tensor, shape: ConvolutionShape): Tensor;
  /** Gradient of a convolution with respect to its input of shape `input`. */
  convolveInput(dy: Tensor, filter: Tensor, input: readonly number[], shape: ConvolutionShape): Tensor;
  /** Gradient of a convolution with respect to its filter. */
  convolveFilter(x: Tensor, dy: Tensor, shape: ConvolutionShape): Tensor;
  /** Means of 2 x 2 places; what is left at an odd side is not read. */
  halve(x: Tensor): Tensor;
  /** Gradient of `halve` with respect to its input `x`. */
  halveInput(dy: Tensor, x: Tensor): Tensor;
}

/** What the operations on images are made of. */
type Basics = Pick<Ops, "matMul" | "reshape" | "slice" | "transpose" | "concat" | "pad" | "tidy"> & {
  readonly isWasm: boolean;
  run(kernel: string, inputs: object, attributes?: object): Tensor;
};

type Size = readonly [batch: number, height: number, width: number, channels: number];

export function imageOps(basics: Basics): ImageOps {
  const { run, isWasm, matMul, reshape, slice, transpose, concat, pad, tidy } = basics;
  const pooling = { filterSize: 2, strides: 2, pad: "valid", dimRoundingMode: undefined };

  const sizeOf = (x: Tensor): Size => x.shape as unknown as Size;
  const rowsOf = (x: Tensor): Tensor => reshape(x, [x.size / sizeOf(x)[3], sizeOf(x)[3]]);
  const filterOf = (filter: Tensor, size: number): Tensor => {
    const [rows = 0, out = 0] = filter.shape;
    return reshape(filter, [size, size, rows / (size * size), out]);
  };
  const attributes = ({ stride }: ConvolutionShape) => ({
    strides: [stride, stride],
    // The native library knows no padding but this one, and at stride 2 it would be off by one.
    pad: stride === 1 ? "same" : "valid",
    dataFormat: "NHWC",
    dilations: [1, 1],
    dimRoundingMode: undefined,
  });
  const rimOf = ({ size }: ConvolutionShape): number => (size - 1) / 2;
  const padded = (x: Tensor, shape: ConvolutionShape): Tensor => {
    const rim = [rimOf(shape), rimOf(shape)] as const;
    return pad(x, [[0, 0], rim, rim, [0, 0]]);
  };
  /** The input as the kernel takes it: with its rim of zeros at stride 2. */
  const withRim = (x: Tensor, shape: ConvolutionShape): Tensor => (shape.stride === 1 ? x : padded(x, shape));

  /** At stride 1 the transpose of a convolution is one with the filter turned round, which XNNPACK does fast. */
  const convolveTurned = (dy: Tensor, filter: Tensor, shape: ConvolutionShape): Tensor => {
    const { size } = shape;
    const [rows = 0, out = 0] = filter.shape;
    const inner = rows / (size * size);
    const reversed = run("Reverse", { x: reshape(filter, [size * size, inner, out]) }, { dims: [0] });
    const turned = reshape(transpose(reversed, [0, 2, 1]), [size, size, out, inner]);
    return run("Conv2D", { x: dy, filter: turned }, attributes(shape));
  };

  /** One product for each place of the filter: the wasm backend has no kernel for it. */
  const convolveFilterByPlace: ImageOps["convolveFilter"] = (x, dy, shape) => {
    const { size, stride } = shape;
    const [batch, height, width] = sizeOf(dy);
    const [, , , channels] = sizeOf(x);
    const image = padded(x, shape);
    const rows = rowsOf(dy);
    const parts = Array.from({ length: size * size }, (_, place) => {
      const [row, column] = [Math.floor(place / size), place % size];
      const [lastRow, lastColumn] = [row + (height - 1) * stride, column + (width - 1) * stride];
      const attributesOfSlice = {
        begin: [0, row, column, 0],
        end: [batch, lastRow + 1, lastColumn + 1, channels],
        strides: [1, stride, stride, 1],
        beginMask: 0,
        endMask: 0,
        ellipsisMask: 0,
        newAxisMask: 0,
        shrinkAxisMask: 0,
      };
      return matMul(rowsOf(run("StridedSlice", { x: image }, attributesOfSlice)), rows, true, false);
    });
    return concat(parts, 0);
  };

  return {
    convolve: (x, filter, shape) =>
      tidy(() => {
        const { size } = shape;
        if (size > 1) {
          const inputs = { x: withRim(x, shape), filter: filterOf(filter, size) };
          return run("Conv2D", inputs, attributes(shape));
        }
        const [batch, height, width] = sizeOf(x);
        return reshape(matMul(rowsOf(x), filter), [batch, height, width, filter.shape[1] as number]);
      }),
    convolveInput: (dy, filter, input, shape) =>
      tidy(() => {
        const { size, stride } = shape;
        if (size === 1) return reshape(matMul(rowsOf(dy), filter, false, true), input);
        if (isWasm && stride === 1) return convolveTurned(dy, filter, shape);
        const rim = stride === 1 ? 0 : rimOf(shape);
        const [batch, height, width, channels] = input as Size;
        const whole = run(
          "Conv2DBackpropInput",
          { dy, filter: filterOf(filter, size) },
          { ...attributes(shape), inputShape: [batch, height + 2 * rim, width + 2 * rim, channels] },
        );
        return rim === 0 ? whole : slice(whole, [0, rim, rim, 0], input);
      }),
    convolveFilter: (x, dy, shape) =>
      tidy(() => {
        const { size } = shape;
        if (size === 1) return matMul(rowsOf(x), rowsOf(dy), true, false);
        if (isWasm) return convolveFilterByPlace(x, dy, shape);
        const [inner, out] = [sizeOf(x)[3], sizeOf(dy)[3]];
        const taps = run(
          "Conv2DBackpropFilter",
          { x: withRim(x, shape), dy },
          { ...attributes(shape), filterShape: [size, size, inner, out] },
        );
        return reshape(taps, [size * size * inner, out]);
      }),
    halve: (x) => run("AvgPool", { x }, pooling),
    halveInput: (dy, input) => run("AvgPoolGrad", { dy, input }, pooling),
  };
}
