const isLong = process.env["RANFLOW_FAULTS"] === "long";

/** How much is tried: more with `npm run test:faults`. */
export function howMany({ short, long }: { readonly short: number; readonly long: number }): number {
  return isLong ? long : short;
}
