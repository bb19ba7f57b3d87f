import { join } from "node:path";
import type { Digest } from "../engine/model/ids.ts";
import { auditIndex } from "./audit.ts";
import type { Finding } from "./audit.ts";
import { checkpointProblem, checkpointsIn } from "./checkpoints.ts";
import { digestFile } from "./hash.ts";
import type { Index } from "./index-db.ts";
import { mapLimit } from "./pool.ts";
import type { ObjectStore, VerifyProblem } from "./types.ts";
import { objectFiles } from "./walk.ts";
import type { ObjectFile } from "./walk.ts";

const atOnce = 4;
/** Longer lists of steps say no more. */
const stepsNamed = 1_000;

/** What is wrong with an object's file. */
export interface BadObject {
  readonly kind: "wrong-bytes" | "unreadable";
  readonly message: string;
}

/**
 * Hashes every object again, computes every result's key again, and follows every reference: from results to objects,
 * files of folders and the images that texts mention; from pointers, runs and tags to results; from memo entries to
 * their images; from places of external files to their folders. Reads all of the store, checkpoints too; changes nothing.
 */
export async function verifyStore(
  { root, index, objects }: { root: string; index: Index; objects: ObjectStore },
  onProgress: (done: number, total: number) => void = () => {},
): Promise<readonly VerifyProblem[]> {
  const files: ObjectFile[] = [];
  for await (const file of objectFiles(root)) files.push(file);
  const bad = new Map<Digest, BadObject>();
  let done = 0;
  await mapLimit(files, atOnce, async (file) => {
    const problem = await objectProblem(file);
    if (problem) bad.set(file.digest, problem);
    onProgress(++done, files.length);
  });
  const findings = [...(await auditIndex({ index, objects }, bad)), ...(await auditCheckpoints(root))];
  const order = new Map(files.map(({ digest }, i) => [digest as string, i]));
  const placed = (subject: string): number => order.get(subject) ?? files.length;
  return withNeeders(
    index,
    findings.toSorted((a, b) => placed(a.subject) - placed(b.subject)),
  );
}

/** What is wrong with an object's file; undefined where it holds the bytes it is named by, or is gone. */
export async function objectProblem(file: {
  readonly digest: Digest;
  readonly path: string;
}): Promise<BadObject | undefined> {
  try {
    const { digest } = await digestFile(file.path);
    if (digest === file.digest) return undefined;
    return { kind: "wrong-bytes", message: `${file.path} holds other bytes: ${digest}` };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    return { kind: "unreadable", message: `${file.path} cannot be read: ${message}` };
  }
}

async function auditCheckpoints(root: string): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const path of await checkpointsIn(root)) {
    const message = await checkpointProblem(join(root, "checkpoints", path));
    if (message === undefined) continue;
    const drops = [{ what: "checkpoint", path } as const];
    findings.push({ kind: "damaged-checkpoint", subject: path, message, drops, results: new Set() });
  }
  return findings;
}

/** Adds to each finding the steps whose last results it concerns, as `pipeline: step`. */
function withNeeders(index: Index, findings: readonly Finding[]): readonly VerifyProblem[] {
  const wanted = new Set(findings.flatMap(({ results }) => [...results]));
  const stepsOf = new Map<string, string[]>();
  if (wanted.size > 0) {
    for (const name of index.pointers.getKeys()) {
      const [key, , pipeline, step] = readable(() => index.pointers.get(name)) ?? [];
      if (key === undefined || !wanted.has(key)) continue;
      const steps = stepsOf.get(key) ?? [];
      steps.push(`${pipeline}: ${step}`);
      stepsOf.set(key, steps);
    }
  }
  return findings.map(({ results, ...finding }) => ({
    ...finding,
    neededBy: [...new Set([...results].flatMap((key) => stepsOf.get(key) ?? []))].slice(0, stepsNamed),
  }));
}

/** What a read gives; undefined where the entry cannot be read. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
