/** What the loaders of all datasets share: finding the folder, choosing rows, naming files, reading by content. */
import { resolve } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import type { BlobRef, InputArtifact, LocatedFile, ScanResult } from "../../engine/sdk.ts";
import { folderOfFiles, folderOnDisk } from "./folder.ts";
import type { DatasetFolder } from "./folder.ts";
import type { LoaderParams } from "./loader-params.ts";
import { sample } from "./sample.ts";

/** A record as the dataset's own tables give it. */
export interface DatasetRow {
  readonly id: string;
  /** Where the image belongs, for messages. */
  readonly image: string;
}

/** How messages speak of a dataset. */
export interface DatasetWords {
  /** Stamped on records and shown in messages, for instance `chestxray14`. */
  readonly name: string;
  /** The folder as it should be, one entry a line. */
  readonly layout: readonly string[];
}

/** What is particular to one dataset. */
export interface Dataset<P extends LoaderParams, R extends DatasetRow> extends DatasetWords {
  /** Folders under the given root in which a download may leave the dataset. */
  readonly nested: readonly string[];
  /** The files, of which any one shows that a folder is this dataset. */
  isHere(folder: DatasetFolder, params: P): Promise<boolean>;
  /** The tables to read, and from them every record of the asked split in dataset order. */
  read(folder: DatasetFolder, params: P, log: (message: string) => void): Promise<DatasetRows<R>>;
  /** Tells where a record's image is, undefined where it is missing; at once, if a few listings are enough. */
  locator(folder: DatasetFolder): Promise<Locator<R>>;
}

export type Locator<R> = (row: R) => string | undefined | Promise<string | undefined>;

export interface DatasetRows<R> {
  /** Names of the tables read. */
  readonly tables: readonly string[];
  readonly rows: readonly R[];
}

/** A record with the bytes of its image. */
export interface LoadedRow<R> {
  readonly row: R;
  readonly image: BlobRef;
}

/** Names the tables and images that the parameters make a loader read; undefined where it reads an artifact. */
export async function scanDataset<P extends LoaderParams, R extends DatasetRow>(
  dataset: Dataset<P, R>,
  params: P,
  log: (message: string) => void,
): Promise<ScanResult | undefined> {
  if (params.root === null) return undefined;
  const root = resolve(params.root);
  const disk = folderOnDisk(root);
  const names = await disk.list("");
  if (names === undefined) {
    throw new NodeError(`The folder of ${dataset.name}, ${root}, does not exist or is no folder`, {
      hint: layoutHint(dataset),
    });
  }
  const prefix = await find(dataset, disk, params);
  const { tables, chosen, there } = await choose(dataset, disk.within(prefix), params, log);
  const files = new Set([...tables, ...(there ?? chosen).map(({ place }) => place)]);
  return { dataset: dataset.name, root: resolve(root, prefix), files: [...files] };
}

/** What `loadDataset` needs of a step's context. */
export interface LoaderContext<P> {
  readonly params: P;
  readonly inputs: { readonly root: InputArtifact | undefined };
  readonly external: ReadonlyMap<string, LocatedFile>;
  log(message: string, level?: "info" | "warning"): void;
}

/** Reads the chosen records, from the files that the scan named or from the folder artifact bound to `root`. */
export async function loadDataset<P extends LoaderParams, R extends DatasetRow>(
  dataset: Dataset<P, R>,
  { params, inputs, external, log }: LoaderContext<P>,
): Promise<readonly LoadedRow<R>[]> {
  if (params.root !== null && inputs.root !== undefined) {
    throw new NodeError(`data.${dataset.name} has both the parameter root and the input root`, {
      hint: "Keep `with: { root: FOLDER }` for data of your own, or `in: { root: NODE.PORT }` for a node's.",
    });
  }
  if (params.root === null && inputs.root === undefined) {
    throw new NodeError(`data.${dataset.name} has no folder to read`, {
      hint: "Say `with: { root: FOLDER }` for data of your own, or `in: { root: NODE.PORT }` for a node's.",
    });
  }
  const files = inputs.root?.files ?? external;
  const whole = folderOfFiles(files, params.root ?? dataset.name);
  const prefix = await find(dataset, whole, params);
  const folder = whole.within(prefix);
  // Chosen again, though of an external folder there are the files that the scan named and no others: records that the
  // scan has left out may share an image with those it has not.
  const { chosen } = await choose(dataset, folder, params, log);

  const loaded = chosen.map(({ row, place }) => {
    const { digest, size } = files.get(prefix === "" ? place : `${prefix}/${place}`)!;
    return { row, image: { digest, size } };
  });
  const empty = loaded.filter(({ image }) => image.size === 0);
  if (empty.length > 0) reportMissing(dataset, folder, params, log, empty, loaded.length, "empty (0 bytes)");
  const usable = loaded.filter(({ image }) => image.size > 0);
  if (usable.length === 0) throw nothingLeft(dataset, folder);
  return usable;
}

interface Placed<R> {
  readonly row: R;
  readonly place: string;
}

interface Choice<R> {
  readonly tables: readonly string[];
  readonly chosen: readonly Placed<R>[];
  /** All records whose image is there, where the choice depends on how many these are. */
  readonly there?: readonly Placed<R>[];
}

async function choose<P extends LoaderParams, R extends DatasetRow>(
  dataset: Dataset<P, R>,
  folder: DatasetFolder,
  params: P,
  log: (message: string) => void,
): Promise<Choice<R>> {
  const { tables, rows } = await dataset.read(folder, params, log);
  const excluded = new Set(params.exclude);
  const candidates = rows.filter(({ id }) => !excluded.has(id));
  checkIds(folder, tables, candidates);

  if (params.onMissing === "skip") {
    // A prefix needs no look at what comes after it: a sample of a few from a large dataset is chosen at once.
    const enough = params.fraction === 1 && params.limit !== null ? params.limit : Infinity;
    const there = await present(dataset, folder, candidates, enough);
    const chosen = sample(there, params);
    if (enough === Infinity && there.length < candidates.length) {
      log(
        `${candidates.length - there.length} of ${candidates.length} records have no image in ${folder.title}: skipped`,
      );
    }
    if (chosen.length === 0) throw nothingLeft(dataset, folder);
    return { tables, chosen, ...(params.fraction < 1 && { there }) };
  }
  const wanted = sample(candidates, params);
  if (wanted.length === 0) throw nothingLeft(dataset, folder);
  const chosen = await present(dataset, folder, wanted);
  if (chosen.length < wanted.length) {
    const there = new Set(chosen.map(({ row }) => row));
    const missing = wanted.filter((row) => !there.has(row)).map((row) => ({ row }));
    reportMissing(dataset, folder, params, log, missing, wanted.length, "missing");
  }
  return { tables, chosen };
}

/** The records whose image is there, in order, and no more than `enough` of them. */
async function present<P extends LoaderParams, R extends DatasetRow>(
  dataset: Dataset<P, R>,
  folder: DatasetFolder,
  rows: readonly R[],
  enough = Infinity,
): Promise<readonly Placed<R>[]> {
  const locate = await dataset.locator(folder);
  const there: Placed<R>[] = [];
  const batch = 256;
  for (let from = 0; from < rows.length && there.length < enough; from += batch) {
    const part = rows.slice(from, from + batch);
    const places = await Promise.all(part.map(async (row) => locate(row)));
    part.forEach((row, index) => {
      const place = places[index];
      if (place !== undefined && there.length < enough) there.push({ row, place });
    });
  }
  return there;
}

async function find<P extends LoaderParams, R extends DatasetRow>(
  dataset: Dataset<P, R>,
  folder: DatasetFolder,
  params: P,
): Promise<string> {
  for (const nested of ["", ...dataset.nested]) {
    if (await dataset.isHere(folder.within(nested), params)) return nested;
  }
  const names = [...((await folder.list("")) ?? [])].toSorted();
  const found =
    names.length === 0
      ? "is empty"
      : `holds ${names.slice(0, 8).join(", ")}${names.length > 8 ? ", ..." : ""}`;
  throw new NodeError(`${folder.title} is not a ${dataset.name} folder: it ${found}`, {
    hint: layoutHint(dataset),
  });
}

function reportMissing(
  dataset: DatasetWords,
  folder: DatasetFolder,
  params: LoaderParams,
  log: (message: string) => void,
  missing: readonly { readonly row: DatasetRow }[],
  total: number,
  how: string,
): void {
  const first = missing[0]!.row;
  const message =
    `${missing.length} of ${total} images of ${dataset.name} are ${how} in ${folder.title}, ` +
    `the first: ${first.image} (record ${first.id})`;
  if (params.onMissing === "skip") return log(`${message}: skipped`);
  throw new NodeError(message, {
    hint: "Finish copying the folder, or say `onMissing: skip` to use the records whose image is there.",
  });
}

function checkIds(folder: DatasetFolder, tables: readonly string[], rows: readonly DatasetRow[]): void {
  const seen = new Set<string>();
  for (const { id } of rows) {
    if (seen.has(id)) {
      const where = tables.map((table) => folder.file(table).name).join(" or ");
      throw new NodeError(`The record ${id} stands twice in ${where}`, {
        hint: "Remove one of the two rows: records are told apart by their id.",
      });
    }
    seen.add(id);
  }
}

function nothingLeft(dataset: DatasetWords, folder: DatasetFolder): NodeError {
  return new NodeError(`No record of ${dataset.name} in ${folder.title} is left to read`, {
    hint:
      "Check split and exclude, and that the images are where the layout has them: " +
      dataset.layout.join(", "),
  });
}

function layoutHint(dataset: DatasetWords): string {
  return `Give the folder that holds ${dataset.layout.join(", ")}.`;
}
