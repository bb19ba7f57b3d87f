/**
 * The t for which Student's distribution of so many degrees of freedom has this share within ±t: half the width of a
 * confidence interval in standard errors.
 *
 * @param share in (0, 1)
 * @param degrees a whole number, at least 1
 */
export function studentQuantile(share: number, degrees: number): number {
  let [low, high] = [0, 1];
  while (within(high, degrees) < share) [low, high] = [high, 2 * high];
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if (within(middle, degrees) < share) low = middle;
    else high = middle;
  }
  return high;
}

/** Share of the distribution within ±t, in closed form (Abramowitz and Stegun 26.7.3 and 26.7.4). */
function within(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const isOdd = degrees % 2 === 1;
  let term = isOdd ? Math.cos(angle) : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = isOdd ? 3 : 2; k < degrees; k += 2) {
    term *= (Math.cos(angle) ** 2 * (k - 1)) / k;
    sum += term;
  }
  return isOdd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
}
