/** Steps over which the loss is averaged before it is judged. */
const window = 50;

/** How far above its start, or above chance, a mean loss may rise. */
const limit = 3;

/**
 * Tells of a training that has run away: at once where a number is not finite, otherwise when the mean loss of the
 * last steps is three times that of the run's start and of a model that knows nothing, ln(batch).
 *
 * @param initialLoss mean loss of the first steps, where it is known
 * @returns takes each step's figures and gives what is wrong, or undefined
 */
export function watchForDivergence(
  batchSize: number,
  initialLoss: () => unknown,
): (loss: number, gradientNorm: number) => string | undefined {
  const recent: number[] = [];
  return (loss, gradientNorm) => {
    if (!Number.isFinite(loss)) return "the loss is not a finite number";
    if (!Number.isFinite(gradientNorm)) return "the gradient is not a finite number";
    recent.push(loss);
    if (recent.length > window) recent.shift();
    if (recent.length < window) return undefined;
    const first = initialLoss();
    const start = Math.max(Math.log(batchSize), typeof first === "number" ? first : 0);
    const mean = recent.reduce((sum, value) => sum + value, 0) / window;
    if (mean <= limit * start) return undefined;
    return `the loss of the last ${window} steps is ${mean.toFixed(2)}, after ${start.toFixed(2)} at the start,`;
  };
}
