import { randomBytes } from "node:crypto";
import { linkSync, readdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { WorkerRequest } from "../model/protocol.ts";
import { parseRequestName } from "../model/submission.ts";
import type { Claim, StepEnd } from "../model/submission.ts";

/**
 * Takes a step that no worker has taken: the element's own one, else the last one, whose element begins last.
 *
 * @returns its place; undefined where none is left
 */
export function claimNext(folder: string, claim: Claim): number | undefined {
  const taken = new Set(readdirSync(join(folder, "claim")));
  const open = requests(folder)
    .map(({ index }) => index)
    .filter((index) => !taken.has(`${index}.json`))
    .toSorted((a, b) => (a === claim.element ? -1 : b === claim.element ? 1 : b - a));
  return open.find((index) => isFirst(folder, index, claim));
}

/** A link is made once, and whole, by whoever is first: on network file systems, too. */
function isFirst(folder: string, index: number, claim: Claim): boolean {
  const written = join(folder, "claim", temporaryName());
  writeFileSync(written, JSON.stringify(claim));
  try {
    linkSync(written, join(folder, "claim", `${index}.json`));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    unlinkSync(written);
  }
}

/** The request of a step; undefined where nobody waits for it any more. */
export function readRequest(
  folder: string,
  index: number,
): Extract<WorkerRequest, { kind: "run" }> | undefined {
  const found = requests(folder).find((request) => request.index === index);
  if (!found) return undefined;
  try {
    return JSON.parse(readFileSync(join(folder, "request", found.name), "utf8")) as Extract<
      WorkerRequest,
      { kind: "run" }
    >;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Says how a step ended: its file is there whole or not at all. */
export function writeEnd(folder: string, index: number, end: StepEnd): void {
  const written = join(folder, "done", temporaryName());
  try {
    writeFileSync(written, JSON.stringify(end), { flush: true });
    renameSync(written, join(folder, "done", `${index}.json`));
  } catch (error) {
    // On a full disk, what is left of it would be in the way of the next try.
    discard(written);
    throw error;
  }
}

function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It goes with the folder.
  }
}

function requests(folder: string): readonly { readonly index: number; readonly name: string }[] {
  return readdirSync(join(folder, "request")).flatMap((name) => {
    const parsed = parseRequestName(name);
    return parsed ? [{ index: parsed.index, name }] : [];
  });
}

const temporaryName = (): string => `.${randomBytes(8).toString("hex")}`;
