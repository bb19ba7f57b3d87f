/** What a store holds at a moment when nobody writes to it. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { taggedHash } from "../../cache/hash.ts";
import { openStore } from "../../cache/store.ts";
import type { VerifyProblem } from "../../cache/types.ts";
import type { Fingerprint } from "../../engine/model/fingerprint.ts";
import type { Key } from "../../engine/model/ids.ts";
import { itemKey } from "./fault-nodes.ts";
import { itemName, workName } from "./ledger.ts";
import { itemGroups } from "./mixed-graph.ts";

export interface StoreView {
  /** By name of the work. */
  readonly results: ReadonlyMap<string, ViewedResult>;
  /** Items whose results are kept. */
  readonly items: ReadonlySet<string>;
  /** Name of the work -> iterations that its checkpoint has. */
  readonly checkpoints: ReadonlyMap<string, number>;
  readonly problems: readonly VerifyProblem[];
}

export interface ViewedResult {
  readonly key: Key;
  /** Digests of the outputs, as one text. */
  readonly outputs: string;
  readonly run: string;
}

/** @param names work by key, for the checkpoints of steps that have no result yet */
export async function viewStore(root: string, names: ReadonlyMap<Key, string>): Promise<StoreView> {
  const opened = await openStore({ root, readOnly: true });
  if (!opened.ok) throw new Error(opened.error.message);
  const store = opened.value;
  try {
    const results = new Map<string, ViewedResult>();
    for (const key of store.keys()) {
      const result = store.result(key);
      if (!result) throw new Error(`the result ${key} is listed, and not there`);
      const outputs = Object.entries(result.outputs).map(([name, { digest }]) => `${name} ${digest}`);
      results.set(nameIn(result.fingerprint), {
        key,
        outputs: outputs.toSorted().join(", "),
        run: result.provenance.runId,
      });
    }
    const items = new Set<string>();
    for (const [group, count] of itemGroups) {
      const all = Array.from({ length: count }, (_, item) => item);
      const keys = all.map((item) => taggedHash("memo", ["fault.items", 1, itemKey(group, item)]));
      for (const [item, kept] of store.memoGet(keys).entries()) {
        if (kept !== undefined) items.add(itemName(group, item));
      }
    }
    return { results, items, checkpoints: checkpointsIn(root, names), problems: await store.verify() };
  } finally {
    await store.close();
  }
}

function nameIn({ params, shard }: Fingerprint): string {
  const { name, command } = params as { readonly name?: string; readonly command?: readonly string[] };
  // The program of the mixed graph gets the name of its work as its first argument.
  return workName(name ?? command?.[2] ?? "", shard);
}

/** A checkpoint that its step replaces just now, for its process has not ended yet, is left out. */
function checkpointsIn(root: string, names: ReadonlyMap<Key, string>): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const folders = (path: string): readonly string[] => namesIn(join(root, "checkpoints", path));
  for (const key of folders("")) {
    for (const variant of folders(key)) {
      const numbers = folders(join(key, variant)).filter((name) => /^\d+$/.test(name));
      const last = numbers.toSorted().at(-1);
      const name = names.get(key as Key);
      if (last === undefined || name === undefined) continue;
      const state = join(root, "checkpoints", key, variant, last, "state.json");
      if (existsSync(state))
        found.set(name, (JSON.parse(readFileSync(state, "utf8")) as unknown[]).length - 1);
    }
  }
  return found;
}

function namesIn(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
