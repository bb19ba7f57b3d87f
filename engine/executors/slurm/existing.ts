import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { SubmissionHead } from "../../model/submission.ts";
import { openSubmissionFiles, readHead } from "./submission-files.ts";
import type { SubmissionFiles } from "./submission-files.ts";

/** A submission that this driver did not make. */
export interface Existing {
  readonly head: SubmissionHead;
  readonly files: SubmissionFiles;
}

/** Submissions of drivers that died, or that work beside this one. */
export interface ExistingSubmissions {
  /** Looks for new ones. */
  look(): Promise<void>;
  /** This driver made it. */
  own(token: string): void;
  /** The last submission that has a step, whose result nobody took. */
  find(id: string): { readonly submission: Existing; readonly index: number } | undefined;
  /** The step is taken. */
  forget(id: string): void;
}

/** @param folder `<store>/slurm` */
export function openExisting(folder: string): ExistingSubmissions {
  const known = new Set<string>();
  const steps = new Map<string, { readonly submission: Existing; readonly index: number }>();
  return {
    async look() {
      const names = await readdir(folder).catch(() => []);
      for (const token of names.filter((name) => /^[0-9a-f]+$/.test(name) && !known.has(name))) {
        known.add(token);
        const head = await readHead(join(folder, token));
        if (!head) continue;
        const submission = { head, files: openSubmissionFiles(join(folder, token)) };
        for (const [id, index] of await submission.files.requests()) {
          const other = steps.get(id)?.submission.head.createdAt ?? -Infinity;
          if (other < head.createdAt) steps.set(id, { submission, index });
        }
      }
    },
    own: (token) => void known.add(token),
    find: (id) => steps.get(id),
    forget: (id) => void steps.delete(id),
  };
}
