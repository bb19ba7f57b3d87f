import { beforeAll, describe, expect, it } from "vitest";
import { attackGradient } from "../../nodes/attack/attack-loss.ts";
import { pgd, randomStart } from "../../nodes/attack/pgd.ts";
import type { AttackEncoder, PgdOptions } from "../../nodes/attack/pgd.ts";
import { fromPng8, toPng8 } from "../../nodes/attack/pixels.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { opsOf } from "../../nodes/nn/ops.ts";
import type { Ops } from "../../nodes/nn/ops.ts";
import { randomStream } from "../../nodes/random.ts";

const side = 4;
const values = side * side * 3;
const dim = 5;
let ops: Ops;

beforeAll(async () => {
  ops = opsOf(await openRuntime({ backend: "cpu", threads: 1 }));
});

const defaults: PgdOptions = {
  loss: "embed_dot",
  norm: "linf",
  eps: 8 / 255,
  alpha: 1 / 255,
  steps: 6,
  boxClip: "each_step",
  tau: 0.07,
};

/** features = pixels · W: its gradient is known in closed form. */
function linearEncoder(weights: Float32Array): AttackEncoder {
  const forward: AttackEncoder["forward"] = (images) => {
    const batch = images.shape[0];
    const matrix = ops.tensor(weights, [values, dim]);
    const features = ops.matMul(ops.reshape(images, [batch, values]), matrix);
    return {
      features,
      backward: (df) => ops.reshape(ops.matMul(df, matrix, false, true), [batch, side, side, 3]),
    };
  };
  return { forward, encode: (images) => forward(images).features };
}

const normals = (purpose: string, count: number): Float32Array => {
  const random = randomStream(3, purpose);
  return Float32Array.from({ length: count }, () => random.normal());
};

/** Images away from 0 and 1, so that the box does not act. */
const inner = (batch: number): Float32Array => {
  const random = randomStream(4, "images");
  return Float32Array.from({ length: batch * values }, () => 0.3 + 0.4 * random.next());
};

async function attack(
  clean: Float32Array,
  options: Partial<PgdOptions> = {},
  {
    targets = normals("targets", (clean.length / values) * dim),
    start,
  }: { targets?: Float32Array; start?: Float32Array } = {},
) {
  const batch = clean.length / values;
  const shape = [batch, side, side, 3];
  const before = ops.runtime.tf.memory().numTensors;
  const tensor = ops.tensor(clean, shape);
  const startTensor = start && ops.tensor(start, shape);
  const result = await pgd(
    ops,
    linearEncoder(normals("weights", values * dim)),
    { clean: tensor, start: startTensor, targets },
    { ...defaults, ...options },
  );
  ops.dispose(tensor, startTensor);
  return { ...result, leaked: ops.runtime.tf.memory().numTensors - before };
}

const norm2 = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return Math.sqrt(sum);
};
const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs((a[i] as number) - (b[i] as number)));
  return most;
};

/** d⟨xW, t⟩/dx = W t. */
function linearGradient(targets: Float32Array): Float64Array {
  const weights = normals("weights", values * dim);
  return Float64Array.from({ length: values }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < dim; k++) sum += (weights[i * dim + k] as number) * (targets[k] as number);
    return sum;
  });
}

describe("PGD", () => {
  it.each(["linf", "l2"] as const)("stays within eps and in [0, 1] (%s)", async (norm) => {
    const random = randomStream(5, "full range");
    const clean = Float32Array.from({ length: 2 * values }, (_, i) =>
      i % 7 === 0 ? Math.round(random.next()) : random.next(),
    );
    for (const boxClip of ["each_step", "final"] as const) {
      const eps = norm === "linf" ? 0.1 : 0.5;
      const { images } = await attack(clean, { norm, eps, alpha: eps / 3, steps: 10, boxClip });
      for (let b = 0; b < 2; b++) {
        const range = [b * values, (b + 1) * values] as const;
        const distance = norm === "linf" ? largest : norm2;
        expect(distance(images.subarray(...range), clean.subarray(...range))).toBeLessThanOrEqual(eps + 1e-6);
      }
      expect(Math.min(...images)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...images)).toBeLessThanOrEqual(1);
    }
  });

  it("is the identity with no steps or no radius", async () => {
    const clean = inner(2);
    expect((await attack(clean, { steps: 0 })).images).toEqual(clean);
    expect((await attack(clean, { eps: 0 })).images).toEqual(clean);
    expect((await attack(clean, { eps: 0, norm: "l2" })).images).toEqual(clean);
  });

  it("ends at x + min(kα, ε)·sign w for a linear encoder (linf)", async () => {
    const clean = inner(1);
    const targets = normals("targets", dim);
    const w = linearGradient(targets);
    for (const steps of [3, 20]) {
      const { images } = await attack(clean, { steps }, { targets });
      const reach = Math.min(steps * defaults.alpha, defaults.eps);
      const want = clean.map((value, i) => value + reach * Math.sign(w[i] as number));
      expect(largest(images, want)).toBeLessThan(1e-6);
    }
  });

  it("ends at x + min(kα, ε)·w/‖w‖ for a linear encoder (l2)", async () => {
    const clean = inner(1);
    const targets = normals("targets", dim);
    const w = linearGradient(targets);
    const length = Math.sqrt(w.reduce((sum, value) => sum + value * value, 0));
    for (const steps of [3, 20]) {
      const { images } = await attack(clean, { norm: "l2", eps: 0.5, alpha: 0.1, steps }, { targets });
      const reach = Math.min(steps * 0.1, 0.5);
      const want = clean.map((value, i) => value + (reach * (w[i] as number)) / length);
      expect(largest(images, want)).toBeLessThan(1e-6);
    }
  });

  it.each(["embed_cos", "embed_dot"] as const)(
    "treats a batch as its images one by one (%s)",
    async (loss) => {
      const clean = inner(3);
      const targets = normals("targets", 3 * dim);
      const together = (await attack(clean, { loss }, { targets })).images;
      for (let b = 0; b < 3; b++) {
        const alone = await attack(
          clean.slice(b * values, (b + 1) * values),
          { loss },
          { targets: targets.slice(b * dim, (b + 1) * dim) },
        );
        expect(largest(together.subarray(b * values, (b + 1) * values), alone.images)).toBeLessThan(1e-6);
      }
    },
  );

  it("raises the cosine with the target, step by step, and leaks nothing", async () => {
    await attack(inner(2), { loss: "embed_cos" });
    const { cosines, leaked } = await attack(inner(2), { loss: "embed_cos" });
    expect(cosines).toHaveLength(7);
    for (let step = 1; step < cosines.length; step++) {
      cosines[step]?.forEach((value, b) => expect(value).toBeGreaterThan(cosines[step - 1]?.[b] as number));
    }
    expect(leaked).toBe(0);
  });

  it("gives the same images for the same start", async () => {
    const start = randomStart(randomStream(1, "start"), 2 * values, { norm: "linf", eps: 0.03, l2: "ball" });
    const [a, b] = [await attack(inner(2), {}, { start }), await attack(inner(2), {}, { start })];
    expect(a.images).toEqual(b.images);
    expect((await attack(inner(2))).images).not.toEqual(a.images);
  });

  it("does not feel pixels that `final` shows clipped", async () => {
    const clean = new Float32Array(values).fill(0.999);
    const targets = normals("targets", dim);
    const { images } = await attack(clean, { boxClip: "final", steps: 30, eps: 0.5 }, { targets });
    const w = linearGradient(targets);
    images.forEach((value, i) => {
      if ((w[i] as number) > 0) expect(value).toBe(1);
    });
  });
});

describe("a random start", () => {
  it.each([
    ["linf", "gaussian"],
    ["l2", "gaussian"],
    ["l2", "ball"],
  ] as const)("lies inside the ball (%s, %s)", (norm, l2) => {
    const lengths: number[] = [];
    for (let item = 0; item < 50; item++) {
      const delta = randomStart(randomStream(1, "start", item), values, { norm, eps: 0.2, l2 });
      const length =
        norm === "linf" ? largest(delta, new Float32Array(values)) : norm2(delta, new Float32Array(values));
      expect(length).toBeLessThanOrEqual(0.2 + 1e-6);
      lengths.push(length);
    }
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    // Uniform lengths average half the radius; a ball of 48 dimensions has almost all its volume near the surface.
    if (norm === "l2" && l2 === "gaussian") expect(mean).toBeLessThan(0.15);
    else expect(mean).toBeGreaterThan(0.18);
  });
});

describe("the attack's gradient", () => {
  const batch = 3;
  const features = normals("f", batch * dim);
  const targets = normals("t", batch * dim);
  const unit = (v: ArrayLike<number>, row: number) => {
    const part = Array.from({ length: dim }, (_, k) => v[row * dim + k] as number);
    const length = Math.hypot(...part);
    return part.map((value) => value / length);
  };
  const dot = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, k) => sum + value * (b[k] as number), 0);
  const value = {
    embed_cos: (f: ArrayLike<number>) =>
      [0, 1, 2].reduce((sum, i) => sum + dot(unit(f, i), unit(targets, i)), 0),
    embed_dot: (f: ArrayLike<number>) =>
      Array.from(targets).reduce((sum, t, at) => sum + t * (f[at] as number), 0),
    contrastive_ce: (f: ArrayLike<number>) =>
      [0, 1, 2].reduce((sum, i) => {
        const logits = [0, 1, 2].map((j) => dot(unit(f, i), unit(targets, j)) / 0.5);
        return sum + (logits[i] as number) - Math.log(logits.reduce((all, l) => all + Math.exp(l), 0));
      }, 0),
  };
  it.each(["embed_cos", "embed_dot", "contrastive_ce"] as const)("is that of the loss (%s)", (loss) => {
    const { gradient } = attackGradient(loss, { features, targets, batch, tau: 0.5 });
    gradient.forEach((got, at) => {
      const shifted = (by: number) => Float64Array.from(features, (f, i) => (i === at ? f + by : f));
      const slope = (value[loss](shifted(1e-4)) - value[loss](shifted(-1e-4))) / 2e-4;
      expect(got).toBeCloseTo(slope, 5);
    });
  });
});

it("rounds to bytes and back within half a level", () => {
  const random = randomStream(9, "pixels");
  const pixels = Float32Array.from({ length: 1000 }, () => random.next());
  expect(largest(fromPng8(toPng8(pixels)), pixels)).toBeLessThanOrEqual(0.5 / 255 + 1e-7);
  expect([...toPng8(Float32Array.of(0, 1, 0.5 / 255, 127.5 / 255))]).toEqual([0, 255, 1, 128]);
});
