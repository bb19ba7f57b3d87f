/**
 * What tests draw at random follows from this number, so that a change is judged by its own doing: the same draws each
 * time, others with RANFLOW_SEED=random, and those of a failure with RANFLOW_SEED=<the number it printed>.
 */
export const seed: number = seedFrom(process.env["RANFLOW_SEED"] ?? "1");

function seedFrom(text: string): number {
  const number = text === "random" ? Date.now() % 1_000_000 : Number(text);
  if (Number.isSafeInteger(number)) return number;
  throw new Error(`RANFLOW_SEED is a whole number, or "random": ${JSON.stringify(text)} is neither`);
}
