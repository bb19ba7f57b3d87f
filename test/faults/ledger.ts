/** The record that the nodes of the fault tests keep outside of the store, of what was really executed. */
import { existsSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";

/** One line of it. `name` is that of the work: steps that share their work have one name. */
export type LedgerLine =
  | { readonly did: "ran"; readonly name: string }
  | { readonly did: "failed"; readonly name: string }
  /** A step with checkpoints began, from so many iterations that it had saved. */
  | { readonly did: "began"; readonly name: string; readonly from: number }
  /** An item was made; `name` is the group of items. */
  | { readonly did: "made"; readonly name: string; readonly item: number };

export function ledgerPath(folder: string): string {
  return join(folder, "ledger.ndjson");
}

/** All whole lines. */
export function readLedger(path: string): readonly LedgerLine[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as LedgerLine);
}

/** Resolves when the ledger has so many lines, or something else is over. */
export function ledgerHas(folder: string, lines: number, over: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      watcher.close();
      resolve();
    };
    const look = (): void => {
      if (readLedger(ledgerPath(folder)).length >= lines) finish();
    };
    const watcher = watch(folder, look);
    void over.then(finish);
    look();
  });
}

/** Name of a step's work, or of the share of it that a shard does. */
export function workName(name: string, shard: { readonly index: number } | undefined): string {
  return shard ? `${name}#${shard.index + 1}` : name;
}

/** How often each step ran and each item was made. */
export function timesDone(lines: readonly LedgerLine[]): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  for (const line of lines) {
    if (line.did !== "ran" && line.did !== "made") continue;
    const what = line.did === "made" ? itemName(line.name, line.item) : line.name;
    times.set(what, (times.get(what) ?? 0) + 1);
  }
  return times;
}

export function itemName(group: string, item: number): string {
  return `${group}[${item}]`;
}
