import type { StepGrowth } from "../../engine/sdk.ts";
import type { LoaderParams } from "./loader-params.ts";

/**
 * How a loader's step grows: with its records, of which the published dataset has a known number in each split, and with the
 * folder where this comes from a node, as that of a synthetic world does.
 *
 * @param bytes of a record in the loader's output, about
 */
export function growthOfLoader<P extends LoaderParams & { readonly split: string }>(
  records: Readonly<Partial<Record<P["split"], number>>>,
  bytes: number,
): StepGrowth<P> {
  return {
    time: ({ written }) => written,
    space: ({ bytes }) => bytes("root"),
    published({ fraction, limit, root, split }) {
      const all = records[split as P["split"]];
      if (root === null || all === undefined) return undefined;
      return bytes * Math.min(limit ?? Infinity, Math.round(all * fraction));
    },
  };
}
