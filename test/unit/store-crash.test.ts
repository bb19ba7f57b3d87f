import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStore } from "../../cache/store.ts";
import type { Store } from "../../cache/types.ts";
import type { Key } from "../../engine/model/ids.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ranflow-crash-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

type Writer = ChildProcessByStdio<null, Readable, null>;

function writer(name: string, count: number, shared: "yes" | "no"): Writer {
  const script = join(import.meta.dirname, "store-writer.ts");
  return spawn(process.execPath, [script, root, name, String(count), shared], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Keys that a writer said it had committed, until it ends; `after` is called with each. */
async function committedBy(child: Writer, after: (keys: readonly Key[]) => void = () => {}): Promise<Key[]> {
  const keys: Key[] = [];
  const ended = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "ready") continue;
    // A line cut short by the kill was not said.
    if (line.length === 64) keys.push(line as Key);
    after(keys);
  }
  // What it wrote may end before it does.
  await ended;
  return keys;
}

async function opened(): Promise<Store> {
  const result = await openStore({ root });
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

describe("a writer killed at any moment", () => {
  it("loses nothing it had committed, and leaves nothing that is taken for a result", async () => {
    const committed: Key[] = [];
    for (let round = 0; round < 5; round++) {
      const child = writer(`w${round}`, 100_000, "no");
      const keys = await committedBy(child, ({ length }) => {
        if (length === 1 + round * 3) child.kill("SIGKILL");
      });
      committed.push(...keys);

      const store = await opened();
      for (const key of committed) expect(store.result(key)?.key).toBe(key);
      expect(await store.verify()).toEqual([]);
      await store.gc({ days: 0, dryRun: false });
      expect(await readdir(join(root, "tmp"))).toEqual([]);
      expect(await store.verify()).toEqual([]);
      for (const key of committed) expect(store.result(key)).toBeDefined();
      await store.close();
    }
    expect(committed.length).toBeGreaterThanOrEqual(1 + 4 + 7 + 10 + 13);
  });

  it("gives its lease to the next at once", async () => {
    const child = writer("w", 12, "yes");
    await committedBy(child, ({ length }) => {
      if (length === 3) child.kill("SIGKILL");
    });
    // The same keys, in the same order: the one that was held by the dead process among them.
    const next = writer("next", 12, "yes");
    expect((await committedBy(next)).length).toBeLessThanOrEqual(9);
    const store = await opened();
    expect((await store.status()).results).toBe(12);
    await store.close();
  });
});

describe("processes that write to one store at once", () => {
  it("execute each key once, and all see all results", async () => {
    const children = ["a", "b"].map((name) => writer(name, 40, "yes"));
    const said = await Promise.all(children.map((child) => committedBy(child)));
    const keys = said.flat();
    expect(keys).toHaveLength(40);
    expect(new Set(keys).size).toBe(40);
    const store = await opened();
    for (const [i, own] of said.entries()) {
      for (const key of own) expect(store.result(key)?.provenance.host).toBe(["a", "b"][i]);
    }
    expect(await store.verify()).toEqual([]);
    await store.close();
  });
});
