import { z } from "zod";
import { port } from "../../engine/sdk.ts";

/** Parameters that every loader has. */
export const loaderParams = {
  root: z.string().min(1).nullable().default(null).meta({
    path: true,
    description: "the dataset's folder in its official layout; leave it out where the input `root` is bound",
  }),
  limit: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .meta({ description: "read at most so many records, the first ones", unit: "records" }),
  fraction: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .meta({ description: "share of the records to read, drawn at random by `seed`", unit: "ratio" }),
  seed: z.int().min(0).default(42).meta({
    description: "of the random draws of this loader; apart from the pipeline's, so that data stay put",
  }),
  exclude: z
    .array(z.string())
    .default([])
    .meta({ description: "ids of records to leave out, for instance those with a damaged image" }),
  onMissing: z
    .enum(["error", "skip"])
    .default("error")
    .meta({ description: "what to do about a record whose image is not in the folder, or is empty" }),
};

/** The input of every loader of a dataset. */
export const loaderInputs = {
  root: port("folder", {
    optional: true,
    description: "the dataset from a node, for instance data.synthetic",
  }),
};

export type LoaderParams = z.output<z.ZodObject<typeof loaderParams>>;

/** What is wrong with where a loader is to read from: its folder is either a parameter or an input. */
export function rootProblem({ root }: LoaderParams, bound: readonly string[]): string | undefined {
  const given =
    "`with: { root: FOLDER }` for data of your own, or `in: { root: NODE.PORT }` for those of a node";
  if (root === null && !bound.includes("root")) return `it has no folder to read; give ${given}`;
  if (root !== null && bound.includes("root")) return `its folder is given twice; keep ${given}`;
  return undefined;
}
