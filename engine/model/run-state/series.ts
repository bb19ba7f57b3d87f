/** A live series (loss, learning rate) at a bounded size: each point is the mean of `stride` values. */
export interface Series {
  readonly points: readonly number[];
  readonly stride: number;
  /** Values that wait to become a point, and their sum. */
  readonly pending: number;
  readonly pendingSum: number;
  readonly last: number;
}

const maxPoints = 128;

export const emptySeries: Series = { points: [], stride: 1, pending: 0, pendingSum: 0, last: Number.NaN };

/** The series with one more value. At 128 points neighbours are averaged, so that the whole history stays in view. */
export function addPoint(series: Series, value: number): Series {
  if (!Number.isFinite(value)) return { ...series, last: value };
  const pending = series.pending + 1;
  const pendingSum = series.pendingSum + value;
  if (pending < series.stride) return { ...series, pending, pendingSum, last: value };
  const points = [...series.points, pendingSum / pending];
  if (points.length < maxPoints) {
    return { points, stride: series.stride, pending: 0, pendingSum: 0, last: value };
  }
  const halved: number[] = [];
  for (let index = 0; index + 1 < points.length; index += 2)
    halved.push(((points[index] ?? 0) + (points[index + 1] ?? 0)) / 2);
  return { points: halved, stride: series.stride * 2, pending: 0, pendingSum: 0, last: value };
}
