/** How much is tried, and what: `npm run test:faults` sets the first, a failed run is repeated with the second. */

const isLong = process.env["RANFLOW_FAULTS"] === "long";

/** RANFLOW_FAULT_SEED: what is drawn follows from it, though not what a machine makes of a moment. */
export const seed: number = Number(process.env["RANFLOW_FAULT_SEED"] ?? Date.now() % 1_000_000);

export function howMany({ short, long }: { readonly short: number; readonly long: number }): number {
  return isLong ? long : short;
}
