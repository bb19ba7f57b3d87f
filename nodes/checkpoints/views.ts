import { elements, type TensorData } from "./dtypes.ts";
import type { TorchTensor } from "./torch-world.ts";

/** The range of a storage that a view reaches, in elements. */
export function reach({ offset, shape, stride }: TorchTensor): {
  readonly begin: number;
  readonly end: number;
} {
  if (elements(shape) === 0) return { begin: offset, end: offset };
  const last = shape.reduce((at, size, axis) => at + (size - 1) * (stride[axis] as number), offset);
  return { begin: offset, end: last + 1 };
}

/** Whether a view lies in memory as a tensor of its own would, row by row. */
export function isContiguous({ shape, stride }: TorchTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] as number;
    if (size !== 1 && stride[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}

/**
 * A view's values row by row: transposed and sliced views become tensors of their own.
 *
 * @param range the storage's values that the view reaches, see `reach`
 */
export function gather(range: TensorData, { shape, stride }: TorchTensor): TensorData {
  const count = elements(shape);
  const result = new (range.constructor as new (length: number) => TensorData)(count);
  if (count === 0) return result;
  const index = new Array<number>(shape.length).fill(0);
  for (let to = 0, from = 0; to < count; to++) {
    result[to] = range[from] as never;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis] as number;
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (shape[axis] as number)) break;
      from -= (stride[axis] as number) * (shape[axis] as number);
      index[axis] = 0;
    }
  }
  return result;
}
