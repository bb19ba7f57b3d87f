import type { Tensor } from "@tensorflow/tfjs-core";

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
interface Basics {
  run(kernel: string, inputs: object, attributes?: object): Tensor;
  readonly isWasm: boolean;
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  reshape(x: Tensor, shape: readonly number[]): Tensor;
  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
  transpose(x: Tensor, permutation: readonly number[]): Tensor;
  concat(parts: readonly Tensor[], axis: number): Tensor;
  dispose(...tensors: readonly Tensor[]): void;
}

type Size = readonly [batch: number, height: number, width: number, channels: number];

export function imageOps(basics: Basics): ImageOps {
  const { run, isWasm, matMul, reshape, slice, transpose, concat, dispose } = basics;
  const pooling = { filterSize: 2, strides: 2, pad: "valid", dimRoundingMode: undefined };

  /** Calls `use` with views that are freed behind it. */
  const using = (parts: readonly Tensor[], use: (...parts: Tensor[]) => Tensor): Tensor => {
    const result = use(...parts);
    dispose(...parts);
    return result;
  };
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
  const padded = (x: Tensor, { size }: ConvolutionShape): Tensor => {
    const rim = [(size - 1) / 2, (size - 1) / 2];
    return run("PadV2", { x }, { paddings: [[0, 0], rim, rim, [0, 0]], constantValue: 0 });
  };
  /** The input as the kernel takes it: with its rim of zeros at stride 2. */
  const withRim = (x: Tensor, shape: ConvolutionShape): Tensor =>
    shape.stride === 1 ? reshape(x, x.shape) : padded(x, shape);

  /** At stride 1 the transpose of a convolution is one with the filter turned round, which XNNPACK does fast. */
  const convolveTurned: ImageOps["convolveInput"] = (dy, filter, _input, shape) => {
    const { size } = shape;
    const [rows = 0, out = 0] = filter.shape;
    const inner = rows / (size * size);
    const taps = reshape(filter, [size * size, inner, out]);
    const reversed = using([taps], (x) => run("Reverse", { x }, { dims: [0] }));
    const turned = using([reversed], (x) => transpose(x, [0, 2, 1]));
    return using([using([turned], (x) => reshape(x, [size, size, out, inner]))], (turnedFilter) =>
      run("Conv2D", { x: dy, filter: turnedFilter }, attributes(shape)),
    );
  };

  /** One product for each place of the filter: the wasm backend has no kernel for it. */
  const convolveFilterByPlace: ImageOps["convolveFilter"] = (x, dy, shape) => {
    const { size, stride } = shape;
    const [batch, height, width] = sizeOf(dy);
    const [, , , channels] = sizeOf(x);
    const image = padded(x, shape);
    const rows = rowsOf(dy);
    const parts: Tensor[] = [];
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const seen = run(
          "StridedSlice",
          { x: image },
          {
            begin: [0, row, column, 0],
            end: [batch, row + (height - 1) * stride + 1, column + (width - 1) * stride + 1, channels],
            strides: [1, stride, stride, 1],
            beginMask: 0,
            endMask: 0,
            ellipsisMask: 0,
            newAxisMask: 0,
            shrinkAxisMask: 0,
          },
        );
        parts.push(using([using([seen], rowsOf)], (seenRows) => matMul(seenRows, rows, true, false)));
      }
    }
    dispose(image, rows);
    return using(parts, (...all) => concat(all, 0));
  };

  return {
    convolve(x, filter, shape) {
      if (shape.size === 1) {
        const [batch, height, width] = sizeOf(x);
        return using([using([rowsOf(x)], (rows) => matMul(rows, filter))], (rows) =>
          reshape(rows, [batch, height, width, filter.shape[1] as number]),
        );
      }
      return using([withRim(x, shape), filterOf(filter, shape.size)], (input, taps) =>
        run("Conv2D", { x: input, filter: taps }, attributes(shape)),
      );
    },
    convolveInput(dy, filter, input, shape) {
      const [batch, height, width, channels] = input as Size;
      if (shape.size === 1) {
        return using([using([rowsOf(dy)], (rows) => matMul(rows, filter, false, true))], (rows) =>
          reshape(rows, input),
        );
      }
      if (isWasm && shape.stride === 1) return convolveTurned(dy, filter, input, shape);
      const rim = shape.stride === 1 ? 0 : (shape.size - 1) / 2;
      const whole = using([filterOf(filter, shape.size)], (taps) =>
        run(
          "Conv2DBackpropInput",
          { dy, filter: taps },
          { ...attributes(shape), inputShape: [batch, height + 2 * rim, width + 2 * rim, channels] },
        ),
      );
      return rim === 0 ? whole : using([whole], (x) => slice(x, [0, rim, rim, 0], input));
    },
    convolveFilter(x, dy, shape) {
      const { size } = shape;
      if (size === 1)
        return using([rowsOf(x), rowsOf(dy)], (input, rows) => matMul(input, rows, true, false));
      if (isWasm) return convolveFilterByPlace(x, dy, shape);
      const [inner, out] = [sizeOf(x)[3], sizeOf(dy)[3]];
      return using(
        [
          using([withRim(x, shape)], (input) =>
            run(
              "Conv2DBackpropFilter",
              { x: input, dy },
              { ...attributes(shape), filterShape: [size, size, inner, out] },
            ),
          ),
        ],
        (taps) => reshape(taps, [size * size * inner, out]),
      );
    },
    halve: (x) => run("AvgPool", { x }, pooling),
    halveInput: (dy, input) => run("AvgPoolGrad", { dy, input }, pooling),
  };
}
