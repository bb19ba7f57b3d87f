/** Which similarity an attack ascends (METHOD 4). */
export type AttackLoss = "embed_cos" | "embed_dot" | "contrastive_ce";

export interface AttackGradient {
  /** Gradient of the ascended loss with respect to the raw features, [B, D]. */
  readonly gradient: Float32Array;
  /** Cosine of each image's features with its target's. */
  readonly cosines: Float32Array;
}

/**
 * The attack's loss on features, as a gradient: `embed_cos` Σ⟨f̂, t̂⟩; `embed_dot` Σ⟨f, t⟩; `contrastive_ce`
 * Σ_i log softmax_j(⟨f̂_i, t̂_j⟩ / tau)[i]. In double precision, since f̂ and t̂ come to lie close together and what
 * is left of their difference decides the signs of all pixels.
 *
 * @param features raw features of the images, [B, D] row-major
 * @param targets raw features of the targets, [B, D]
 */
export function attackGradient(
  loss: AttackLoss,
  {
    features,
    targets,
    batch,
    tau,
  }: { features: Float32Array; targets: Float32Array; batch: number; tau: number },
): AttackGradient {
  const width = features.length / batch;
  const f = unitRows(features, batch);
  const t = unitRows(targets, batch);
  const product = (i: number, j: number): number => {
    let sum = 0;
    for (let k = 0; k < width; k++)
      sum += (f.unit[i * width + k] as number) * (t.unit[j * width + k] as number);
    return sum;
  };
  const cosines = Float32Array.from({ length: batch }, (_, i) => product(i, i));
  switch (loss) {
    case "embed_dot":
      return { gradient: targets, cosines };
    case "embed_cos":
      return { gradient: throughNorm(t.unit, f, width), cosines };
    case "contrastive_ce": {
      const direction = new Float64Array(features.length);
      for (let i = 0; i < batch; i++) {
        const logits = Array.from({ length: batch }, (_, j) => product(i, j) / tau);
        const highest = Math.max(...logits);
        const exponentials = logits.map((logit) => Math.exp(logit - highest));
        const total = exponentials.reduce((sum, value) => sum + value, 0);
        exponentials.forEach((value, j) => {
          const weight = ((i === j ? 1 : 0) - value / total) / tau;
          for (let k = 0; k < width; k++) {
            direction[i * width + k] =
              (direction[i * width + k] as number) + weight * (t.unit[j * width + k] as number);
          }
        });
      }
      return { gradient: throughNorm(direction, f, width), cosines };
    }
  }
}

interface UnitRows {
  readonly unit: Float64Array;
  readonly lengths: Float64Array;
}

function unitRows(values: Float32Array, rows: number): UnitRows {
  const width = values.length / rows;
  const unit = Float64Array.from(values);
  const lengths = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const row = unit.subarray(i * width, (i + 1) * width);
    const length = Math.max(Math.sqrt(row.reduce((sum, value) => sum + value * value, 0)), 1e-12);
    lengths[i] = length;
    row.forEach((value, k) => (row[k] = value / length));
  }
  return { unit, lengths };
}

/** (d - u ⟨d, u⟩) / length for each row. */
function throughNorm(direction: Float64Array, { unit, lengths }: UnitRows, width: number): Float32Array {
  const result = new Float32Array(direction.length);
  lengths.forEach((length, i) => {
    const d = direction.subarray(i * width, (i + 1) * width);
    const u = unit.subarray(i * width, (i + 1) * width);
    const along = d.reduce((sum, value, k) => sum + value * (u[k] as number), 0);
    for (let k = 0; k < width; k++)
      result[i * width + k] = ((d[k] as number) - (u[k] as number) * along) / length;
  });
  return result;
}
