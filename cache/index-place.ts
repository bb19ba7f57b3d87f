import { existsSync, lstatSync, readlinkSync } from "node:fs";
import { readdir, rmdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Diagnostic } from "../engine/model/diagnostic.ts";
import { err, ok } from "../engine/model/result.ts";
import type { Result } from "../engine/model/result.ts";
import { errnoOf } from "./errors.ts";
import { makeFolder } from "./make-folder.ts";

/**
 * Puts the index of a store into a folder on another disk: LMDB maps it into memory, which network file systems do not
 * serve well, while objects may well lie on one. A link in the store leads there, so that every command finds it.
 *
 * @param folder absolute; it is made where it is not there
 */
export async function placeIndex(root: string, folder: string): Promise<Result<void, Diagnostic>> {
  const link = join(root, "index");
  try {
    const target = targetOf(link);
    if (target === folder) return ok(undefined);
    if (target !== undefined)
      return refused(`the index of the store ${root} lies in ${target} already`, "leave out --index");
    if ((await namesIn(link)).length > 0) {
      return refused(
        `the store ${root} has its index within it already`,
        `while no ranflow runs, \`mv ${link} ${folder} && ln -s ${folder} ${link}\` takes it there`,
      );
    }
    if ((await namesIn(folder)).length > 0) {
      return refused(`the folder ${folder} is not empty`, "name a new folder for the index of this store");
    }
    await makeFolder(folder);
    await makeFolder(root);
    if (existsSync(link)) await rmdir(link);
    await symlink(folder, link);
    return ok(undefined);
  } catch (error) {
    return refused(
      `the index of the store ${root} cannot be put into ${folder}: ${(error as Error).message}`,
      "name a folder on a disk of this machine that you may write to",
    );
  }
}

/** What is wrong where a store's index was put on a disk of another machine. */
export function indexElsewhere(root: string): Diagnostic | undefined {
  const target = targetOf(join(root, "index"));
  if (target === undefined || existsSync(target)) return undefined;
  return problem(
    `the index of the store ${root} lies in ${target}, which is not on this machine`,
    "run ranflow on the machine where the store was made, or mount that disk",
  );
}

function targetOf(link: string): string | undefined {
  try {
    return lstatSync(link).isSymbolicLink() ? readlinkSync(link) : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
}

function refused(message: string, hint: string): Result<void, Diagnostic> {
  return err(problem(message, hint));
}

function problem(message: string, hint: string): Diagnostic {
  return { code: "store-unusable", severity: "error", message, hint };
}
