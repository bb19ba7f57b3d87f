import type { Random } from "../random.ts";
import type { Ops, Tensor } from "./ops.ts";

/**
 * Inverted dropout: what `x` is multiplied with element by element, 0 with probability p and 1 / (1 - p) otherwise.
 * Undefined where nothing is dropped, as in evaluation.
 */
export type Dropout = (shape: readonly number[]) => Tensor | undefined;

/** Drops nothing. */
export const noDropout: Dropout = () => undefined;

/** Dropout whose masks follow from a random stream, whatever the backend. */
export function dropout(ops: Ops, probability: number, random: Random): Dropout {
  if (probability === 0) return noDropout;
  const kept = 1 / (1 - probability);
  return (shape) => {
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
    for (let i = 0; i < values.length; i++) values[i] = random.next() < probability ? 0 : kept;
    return ops.tensor(values, shape);
  };
}

/** x with the mask laid on; x itself where there is none. */
export function masked(ops: Ops, x: Tensor, mask: Tensor | undefined): Tensor {
  return mask ? ops.mul(x, mask) : x;
}
