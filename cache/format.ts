import { existsSync } from "node:fs";
import { link, open, readFile, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Diagnostic } from "../engine/model/diagnostic.ts";
import { err, ok } from "../engine/model/result.ts";
import type { Result } from "../engine/model/result.ts";
import { StoreError, errnoOf, storeError } from "./errors.ts";
import { makeFolder } from "./make-folder.ts";
import { temporaryPath } from "./temporary.ts";

/** The layout this version reads and writes. */
export const storeFormat = 1;

const formatFile = "format.json";

/** Makes the folders of a store that are not there yet, and its format file. File system errors are passed on. */
export async function makeStore(root: string, version: string): Promise<void> {
  for (const folder of ["index", "objects", "checkpoints", "runs", "tmp"]) {
    await makeFolder(join(root, folder));
  }
  const path = join(root, formatFile);
  if (existsSync(path)) return;
  const temporary = temporaryPath(root);
  const file = await open(temporary, "wx", 0o644);
  try {
    await file.writeFile(`${JSON.stringify({ format: storeFormat, ranflow: version })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    // A link, unlike a rename, never replaces what a process with another version wrote meanwhile.
    await link(temporary, path);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Checks that a folder is a store this version can use. A folder without a format file may become one if empty. */
export async function checkFormat(root: string): Promise<Result<"ready" | "empty", Diagnostic>> {
  let text: string;
  try {
    text = await readFile(join(root, formatFile), "utf8");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") return err(unusable(error, root));
    return checkEmpty(root);
  }
  const found = parseFormat(text);
  if (found === undefined) {
    return err(
      diagnostic("store-unusable", `${join(root, formatFile)} is damaged`, {
        hint: `restore the line {"format":${storeFormat},"ranflow":"..."} or choose another store with --store`,
      }),
    );
  }
  if (found.kind !== undefined) {
    return err(
      diagnostic("store-unusable", `${root} is a folder that results are shared through, and no store`, {
        hint: `take results from it with \`ranflow cache pull ${root}\`, or share through it with --remote`,
      }),
    );
  }
  if (found.format > storeFormat) {
    return err(
      diagnostic(
        "store-too-new",
        `the store ${root} has format ${found.format}, written by ranflow ${found.ranflow}; this ranflow reads format ${storeFormat}`,
        { hint: "update ranflow, or choose another store with --store" },
      ),
    );
  }
  return ok("ready");
}

async function checkEmpty(root: string): Promise<Result<"ready" | "empty", Diagnostic>> {
  try {
    const names = await readdir(root);
    // Another process has made the store since the look at its format.
    if (names.includes(formatFile)) return await checkFormat(root);
    const foreign = names.filter(
      (name) => !["index", "objects", "checkpoints", "runs", "slurm", "tmp"].includes(name),
    );
    if (foreign.length === 0) return ok("empty");
    return err(
      diagnostic("store-unusable", `the folder ${root} is not a ranflow store, and not empty`, {
        hint: "name a new folder, or one that ranflow made, with --store",
      }),
    );
  } catch (error) {
    return errnoOf(error) === "ENOENT" ? ok("empty") : err(unusable(error, root));
  }
}

/** The diagnostic for a store that cannot be opened. */
export function unusable(cause: unknown, root: string): Diagnostic {
  const notFolder = ["ENOTDIR", "EEXIST"].includes(errnoOf(cause) ?? "");
  const error = notFolder
    ? new StoreError("io", `the store ${root} is not a folder`, { hint: "name a folder with --store" })
    : storeError(cause, "open the index", root);
  return diagnostic("store-unusable", error.message, { hint: error.hint });
}

function diagnostic(code: Diagnostic["code"], message: string, rest: { hint: string }): Diagnostic {
  return { code, severity: "error", message, ...rest };
}

/** @returns `kind` is absent for a store */
function parseFormat(
  text: string,
): { readonly format: number; readonly ranflow: string; readonly kind?: unknown } | undefined {
  try {
    const { format, kind, ranflow } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (typeof format !== "number" || !Number.isInteger(format) || format < 1) return undefined;
    return { format, kind, ranflow: typeof ranflow === "string" ? ranflow : "of unknown version" };
  } catch {
    return undefined;
  }
}
