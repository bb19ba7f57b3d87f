/** Keys' cubic convolution kernel with a = -0.5, as antialiased bicubic resizing uses it. */
function keys(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  if (t < 2) return ((-0.5 * t + 2.5) * t - 4) * t + 2;
  return 0;
}

/** Weights [to][from] that resample a line; the support widens when it shrinks (antialiasing). */
function resampling(from: number, to: number): number[][] {
  const scale = from / to;
  const support = 2 * Math.max(1, scale);
  const stretch = Math.max(1, scale);
  return Array.from({ length: to }, (_, index) => {
    const centre = scale * (index + 0.5);
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const row = Array.from({ length: from }, (_unused, at) =>
      at < first || at >= last ? 0 : keys((at - centre + 0.5) / stretch),
    );
    const total = row.reduce((sum, weight) => sum + weight, 0);
    return row.map((weight) => weight / total);
  });
}

/**
 * Resizes the positional embedding of an image tower to another grid, as OpenCLIP's `resize_pos_embed` does: row 0
 * (class token) stays, the grid is resampled by antialiased bicubic interpolation without aligned corners.
 *
 * @param values [1 + from², width], row-major
 * @returns [1 + to², width]
 */
export function resizePositions(
  values: Float32Array,
  { from, to, width }: { from: number; to: number; width: number },
): Float32Array {
  const weights = resampling(from, to);
  const rows = new Float64Array(from * to * width); // [from, to, width]: columns resampled
  for (let y = 0; y < from; y++) {
    for (let x = 0; x < to; x++) {
      weights[x]?.forEach((weight, source) => {
        if (weight === 0) return;
        for (let c = 0; c < width; c++) {
          const at = (y * to + x) * width + c;
          rows[at] = (rows[at] as number) + weight * (values[(1 + y * from + source) * width + c] as number);
        }
      });
    }
  }
  const sums = new Float64Array(to * to * width);
  for (let y = 0; y < to; y++) {
    weights[y]?.forEach((weight, source) => {
      if (weight === 0) return;
      for (let i = 0; i < to * width; i++) {
        const at = y * to * width + i;
        sums[at] = (sums[at] as number) + weight * (rows[source * to * width + i] as number);
      }
    });
  }
  const result = new Float32Array((1 + to * to) * width);
  result.set(values.subarray(0, width));
  result.set(Float32Array.from(sums), width);
  return result;
}
