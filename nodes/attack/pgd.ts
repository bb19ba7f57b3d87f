import { normaliseRows, normaliseRowsBackward } from "../clip/contrastive.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import type { Random } from "../random.ts";

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
  /**
   * Ascended: `embed_cos` Σ⟨f̂, t̂⟩, `embed_dot` Σ⟨f, t⟩, `contrastive_ce` Σ log softmax over the batch's targets of
   * ⟨f̂, t̂⟩ / tau.
   */
  readonly loss: "embed_cos" | "embed_dot" | "contrastive_ce";
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
 * @param targets features of the targets [B, D], not normalised
 * @param onStep called after each update
 */
export function pgd(
  ops: Ops,
  encoder: AttackEncoder,
  { clean, start, targets }: { clean: Tensor; start?: Tensor; targets: Tensor },
  options: PgdOptions,
  onStep: (step: number, cosines: Float32Array) => void = () => undefined,
): PgdResult {
  const { eps, steps, boxClip } = options;
  const cosines: Float32Array[] = [];
  const images = ops.tidy(() => {
    const unitTargets = normaliseRows(ops, targets).unit;
    const seen = (x: Tensor): Tensor => (boxClip === "final" ? ops.clip(x, 0, 1) : x);
    let x = start ? ops.add(clean, start) : ops.add(clean, ops.scalar(0));
    if (start && boxClip === "each_step") x = replace(x, ops.clip(x, 0, 1));
    for (let step = 0; step < steps && eps > 0; step++) {
      const next = ops.tidy(() => {
        const shown = seen(x);
        const { features, backward } = encoder.forward(shown);
        const unit = normaliseRows(ops, features);
        cosines.push(rowProducts(ops, unit.unit, unitTargets));
        const gradient = backward(featureGradient(ops, { features, unit, targets, unitTargets }, options));
        return moved(
          ops,
          { x, clean, gradient: boxClip === "final" ? inBox(ops, x, gradient) : gradient },
          options,
        );
      });
      x = replace(x, next);
      onStep(step, cosines.at(-1) as Float32Array);
    }
    const last = replace(x, ops.clip(x, 0, 1));
    cosines.push(rowProducts(ops, normaliseRows(ops, encoder.encode(last)).unit, unitTargets));
    return Float32Array.from(ops.read(last));
  });
  return { images, cosines };
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

/** The gradient of the ascended loss with respect to the raw features [B, D]. */
function featureGradient(
  ops: Ops,
  {
    features,
    unit,
    targets,
    unitTargets,
  }: {
    features: Tensor;
    unit: ReturnType<typeof normaliseRows>;
    targets: Tensor;
    unitTargets: Tensor;
  },
  { loss, tau }: PgdOptions,
): Tensor {
  switch (loss) {
    case "embed_dot":
      return targets;
    case "embed_cos":
      return normaliseRowsBackward(ops, unitTargets, unit);
    case "contrastive_ce": {
      const batch = features.shape[0] as number;
      const inverse = ops.scalar(1 / tau);
      const logits = ops.mul(ops.matMul(unit.unit, unitTargets, false, true), inverse);
      const identity = new Float32Array(batch * batch);
      for (let i = 0; i < batch; i++) identity[i * batch + i] = 1;
      const dlogits = ops.sub(ops.tensor(identity, [batch, batch]), ops.softmax(logits));
      return normaliseRowsBackward(ops, ops.mul(ops.matMul(dlogits, unitTargets), inverse), unit);
    }
  }
}

/** One update: a step along the gradient, back into the ball and, with `each_step`, into the box. */
function moved(
  ops: Ops,
  { x, clean, gradient }: { x: Tensor; clean: Tensor; gradient: Tensor },
  { norm, eps, alpha, boxClip }: PgdOptions,
): Tensor {
  const delta = ops.sub(x, clean);
  const step =
    norm === "linf"
      ? ops.mul(ops.sign(gradient), ops.scalar(alpha))
      : ops.mul(ops.div(gradient, ops.add(lengths(ops, gradient), ops.scalar(1e-10))), ops.scalar(alpha));
  const further = ops.add(delta, step);
  const projected =
    norm === "linf"
      ? ops.clip(further, -eps, eps)
      : ops.mul(
          further,
          ops.minimum(
            ops.scalar(1),
            ops.div(ops.scalar(eps), ops.maximum(lengths(ops, further), ops.scalar(1e-12))),
          ),
        );
  const result = ops.add(clean, projected);
  return boxClip === "each_step" ? ops.clip(result, 0, 1) : result;
}

/** The gradient through the clip in front of the encoder: zero where the image is outside of [0, 1]. */
function inBox(ops: Ops, x: Tensor, gradient: Tensor): Tensor {
  const { tf } = ops.runtime;
  return ops.mul(gradient, tf.cast(tf.equal(x, ops.clip(x, 0, 1)), "float32"));
}

/** Euclidean length of each image of [B, S, S, 3], as [B, 1, 1, 1]. */
function lengths(ops: Ops, x: Tensor): Tensor {
  const batch = x.shape[0] as number;
  const flat = ops.reshape(x, [batch, x.size / batch]);
  return ops.reshape(ops.sqrt(ops.sumLast(ops.square(flat))), [batch, 1, 1, 1]);
}

/** ⟨a_i, b_i⟩ for each row. */
function rowProducts(ops: Ops, a: Tensor, b: Tensor): Float32Array {
  return Float32Array.from(ops.read(ops.sumLast(ops.mul(a, b))));
}

function replace(old: Tensor, made: Tensor): Tensor {
  old.dispose();
  return made;
}
