import { setImmediate } from "node:timers/promises";
import type { Ops, Tensor } from "../nn/ops.ts";
import type { Random } from "../random.ts";
import { attackGradient } from "./attack-loss.ts";
import type { AttackLoss } from "./attack-loss.ts";

/** What is attacked: features of images and the way back to their pixels. */
export interface AttackEncoder {
  /**
   * @param images [B, S, S, 3] in [0, 1]
   * @returns features [B, D], not normalised; `backward` takes their gradient to the pixels and frees the pass
   */
  forward(images: Tensor): { readonly features: Tensor; backward(dfeatures: Tensor): Tensor };
  /** Features alone. */
  encode(images: Tensor): Tensor;
}

/** Settings of METHOD 4. Distances are in pixel units of [0, 1]. */
export interface PgdOptions {
  readonly loss: AttackLoss;
  readonly norm: "linf" | "l2";
  /** Radius of the ball around the clean image. */
  readonly eps: number;
  /** Length of a step. */
  readonly alpha: number;
  readonly steps: number;
  /**
   * `each_step` keeps the image in [0, 1] all along; `final` lets it leave, shows the encoder its clipped form, and
   * clips once at the end.
   */
  readonly boxClip: "each_step" | "final";
  /** Temperature of `contrastive_ce`. */
  readonly tau: number;
}

export interface PgdResult {
  /** [B, S, S, 3] in [0, 1]. */
  readonly images: Float32Array;
  /** Cosine with the target: row t before update t, the last row at the end. [steps + 1][B] */
  readonly cosines: readonly Float32Array[];
}

/**
 * Projected gradient ascent from clean images towards the features of targets (METHOD 4):
 * L∞ δ ← clip(δ + α·sign g, ±ε); L2 δ ← δ + α·g/(‖g‖ + 1e-10), shortened to ε; then x ← clip(x + δ, 0, 1).
 *
 * @param clean [B, S, S, 3] in [0, 1]
 * @param start δ to begin with, of the same shape; zero where absent
 * @param targets features of the targets [B, D] row-major, not normalised
 * @param onStep called after each update
 */
export async function pgd(
  ops: Ops,
  encoder: AttackEncoder,
  { clean, start, targets }: { clean: Tensor; start?: Tensor | undefined; targets: Float32Array },
  options: PgdOptions,
  onStep: (step: number, cosines: Float32Array) => void = () => undefined,
): Promise<PgdResult> {
  const { eps, steps, boxClip, loss, tau } = options;
  const batch = clean.shape[0];
  const cosines: Float32Array[] = [];
  const towards = (features: Tensor): Float32Array => {
    const ascent = attackGradient(loss, { features: ops.read(features), targets, batch, tau });
    cosines.push(ascent.cosines);
    return ascent.gradient;
  };
  const inBox = (x: Tensor): Tensor => (boxClip === "each_step" ? ops.clip(x, 0, 1) : x);
  // The image is the state and δ follows from it, as in the reference implementations: kept the other way round,
  // the last bits differ, and with them signs of gradients near zero.
  let x = ops.tidy(() => inBox(ops.add(clean, start ?? ops.scalar(0))));
  try {
    for (let step = 0; step < steps && eps > 0; step++) {
      const next = ops.tidy(() => {
        const { features, backward } = encoder.forward(boxClip === "final" ? ops.clip(x, 0, 1) : x);
        const gradient = backward(ops.tensor(towards(features), features.shape));
        const felt = boxClip === "final" ? throughClip(ops, x, gradient) : gradient;
        return inBox(ops.add(clean, moved(ops, ops.sub(x, clean), felt, options)));
      });
      x.dispose();
      x = next;
      onStep(step, cosines.at(-1) as Float32Array);
      // Lets messages in: a step keeps the process busy, and cancelling has to be heard.
      await setImmediate();
    }
    const images = ops.tidy(() => {
      const last = ops.clip(x, 0, 1);
      towards(encoder.encode(last));
      return Float32Array.from(ops.read(last));
    });
    return { images, cosines };
  } finally {
    x.dispose();
  }
}

/**
 * A random start inside the ball (METHOD 4): L∞ uniform in the cube; L2 `gaussian` (random direction, length uniform
 * in [0, ε]) or `ball` (uniform in the ball).
 *
 * @param count values of one image
 */
export function randomStart(
  random: Random,
  count: number,
  { norm, eps, l2 }: { norm: "linf" | "l2"; eps: number; l2: "gaussian" | "ball" },
): Float32Array {
  if (norm === "linf") return Float32Array.from({ length: count }, () => eps * (2 * random.next() - 1));
  const direction = Float64Array.from({ length: count }, () => random.normal());
  const length = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  const share = l2 === "gaussian" ? random.next() : random.next() ** (1 / count);
  return Float32Array.from(direction, (value) => (eps * share * value) / Math.max(length, 1e-12));
}

/** One update of δ: a step along the gradient, then back into the ball. */
function moved(ops: Ops, delta: Tensor, gradient: Tensor, { norm, eps, alpha }: PgdOptions): Tensor {
  if (norm === "linf") {
    return ops.clip(ops.add(delta, ops.mul(ops.sign(gradient), ops.scalar(alpha))), -eps, eps);
  }
  const direction = ops.div(gradient, ops.add(lengths(ops, gradient), ops.scalar(1e-10)));
  const further = ops.add(delta, ops.mul(direction, ops.scalar(alpha)));
  const length = ops.maximum(lengths(ops, further), ops.scalar(1e-12));
  return ops.mul(further, ops.minimum(ops.scalar(1), ops.div(ops.scalar(eps), length)));
}

/** The gradient through the clip in front of the encoder: zero where the image is outside of [0, 1]. */
function throughClip(ops: Ops, x: Tensor, gradient: Tensor): Tensor {
  const { tf } = ops.runtime;
  return ops.mul(gradient, tf.cast(tf.equal(x, ops.clip(x, 0, 1)), "float32"));
}

/** Euclidean length of each image of [B, S, S, 3], as [B, 1, 1, 1]. */
function lengths(ops: Ops, x: Tensor): Tensor {
  const batch = x.shape[0];
  const flat = ops.reshape(x, [batch, x.size / batch]);
  return ops.reshape(ops.sqrt(ops.sumLast(ops.square(flat))), [batch, 1, 1, 1]);
}
