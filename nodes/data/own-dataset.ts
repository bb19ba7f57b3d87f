/** What `data.pairs` and `data.labels` share: a table of one's own that names images in a folder. */
import { posix } from "node:path";
import { z } from "zod";
import { NodeError } from "../../engine/sdk.ts";
import { holds } from "./folder.ts";
import type { DatasetFolder } from "./folder.ts";
import type { Dataset, DatasetRow } from "./loader.ts";
import { loaderParams } from "./loader-params.ts";
import { readOwnTable, tableEndings } from "./own-table.ts";
import type { OwnRow } from "./own-table.ts";
import { partition } from "./sample.ts";

/** Parameters of every loader of one's own data. */
export const ownParams = {
  ...loaderParams,
  table: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .meta({
      description: `the table in the folder, ending in ${tableEndings.join(", ")}; may be left out where there is one alone`,
    }),
  image: z
    .string()
    .min(1)
    .default("image")
    .meta({ description: "column with the image's path, relative to the folder or to `images`" }),
  images: z.string().default("").meta({ description: "folder in the folder that image paths start from" }),
  id: z.string().min(1).nullable().default(null).meta({
    description: "column with the record's id; the image's path without its ending unless given",
  }),
  where: z
    .record(z.string(), z.union([z.string(), z.number()]))
    .default({})
    .meta({
      description: "read only rows with these values in these columns, for instance { split: train }",
    }),
  split: z
    .enum(["train", "val", "test", "all"])
    .default("all")
    .meta({ description: "part of a random partition by `shares`; `all` deals nothing out" }),
  shares: z
    .tuple([z.number().min(0), z.number().min(0), z.number().min(0)])
    .default([0.7, 0.1, 0.2])
    .meta({
      description: "shares of train, val and test, adding up to 1",
      unit: "ratio",
    }),
  group: z.string().min(1).nullable().default(null).meta({
    description:
      "column whose equal values stay in one part, for instance the patient; images are dealt out unless given",
  }),
};

export type OwnParams = z.output<z.ZodObject<typeof ownParams>>;

/** A problem that the schema cannot express. */
export function ownProblem({ shares }: Pick<OwnParams, "shares">): string | undefined {
  const sum = shares.reduce((total, share) => total + share, 0);
  return Math.abs(sum - 1) > 1e-9 ? `shares add up to ${sum}, not to 1` : undefined;
}

/**
 * A dataset of a researcher's own.
 *
 * @param name what messages call it
 * @param columns columns that the records are made of, beside image and id
 * @param record the rest of a record, from its row
 */
export function ownDataset<P extends OwnParams, R>(
  name: string,
  columns: (params: P) => readonly string[],
  record: (row: OwnRow, params: P) => R,
): Dataset<P, DatasetRow & R> {
  return {
    name,
    layout: [`a table ending in ${tableEndings.join(", ")}`, "the images that it names"],
    nested: [],
    isHere: async (folder, params) => (await tableOf(folder, params)) !== undefined,

    async read(folder, params) {
      const table = (await tableOf(folder, params))!;
      const { group, id, image, images, where } = params;
      const asked = [image, id, group, ...Object.keys(where), ...columns(params)];
      const all = await readOwnTable(
        folder.file(table),
        asked.filter((column) => column !== null),
      );
      const wanted = all.filter(({ fields }) =>
        Object.entries(where).every(([column, value]) => fields[column]?.trim() === String(value)),
      );
      const rows = dealtOut(wanted, params).map((row) => {
        const place = placeOf(row, image, images);
        const own = id === null ? place.replace(/\.\w+$/, "") : row.fields[id]!.trim();
        return { ...record(row, params), id: own, image: place };
      });
      return { tables: [table], rows };
    },

    locator: async (folder) => async (row) => ((await holds(folder, row.image)) ? row.image : undefined),
  };
}

async function tableOf(folder: DatasetFolder, { table }: OwnParams): Promise<string | undefined> {
  if (table !== null) {
    if (await holds(folder, table)) return table;
    throw new NodeError(`${folder.title} has no table ${table}`, {
      hint: "`table` is relative to the folder `root`.",
    });
  }
  const names = [...((await folder.list("")) ?? [])].filter((name) =>
    tableEndings.some((ending) => name.toLowerCase().endsWith(ending)),
  );
  if (names.length > 1) {
    throw new NodeError(`${folder.title} holds ${names.length} tables: ${names.toSorted().join(", ")}`, {
      hint: "Say which one to read: `table: NAME`.",
    });
  }
  return names[0];
}

/** The rows of the asked part: dealt out before any sample, so that a limit moves no record to another part. */
function dealtOut(rows: readonly OwnRow[], { group, seed, shares, split }: OwnParams): readonly OwnRow[] {
  if (split === "all") return rows;
  const keys = rows.map((row, index) => (group === null ? index : row.fields[group]!));
  const groups = [...new Set(keys)];
  const parts = partition(groups.length, shares, seed);
  const partOf = new Map(groups.map((key, index) => [key, parts[index]!]));
  const asked = ["train", "val", "test"].indexOf(split);
  return rows.filter((_, index) => partOf.get(keys[index]!) === asked);
}

function placeOf({ at, fields }: OwnRow, column: string, images: string): string {
  const written = fields[column]!.trim().replaceAll("\\", "/").replace(/^\.\//, "");
  const place = posix.join(images, written);
  if (written !== "" && !posix.isAbsolute(place) && !place.split("/").includes("..")) return place;
  throw new NodeError(`${at} names the image ${JSON.stringify(fields[column])}, which is not in the folder`, {
    hint: "Image paths are relative to the folder, or to the folder `images` in it, and stay below it.",
  });
}
