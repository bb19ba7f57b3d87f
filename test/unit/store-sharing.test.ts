import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { indexMapSize } from "../../cache/address-space.ts";
import { collectGarbage } from "../../cache/gc.ts";
import { openIndex } from "../../cache/index-db.ts";
import type { Index, RunEntry } from "../../cache/index-db.ts";
import { keyOf } from "../../cache/key.ts";
import { openLeases } from "../../cache/leases.ts";
import type { Leases } from "../../cache/leases.ts";
import { openObjects } from "../../cache/objects.ts";
import { putRoster } from "../../cache/rosters.ts";
import { openStore } from "../../cache/store.ts";
import { temporaryPath } from "../../cache/temporary.ts";
import type { Store } from "../../cache/types.ts";
import type { StepId } from "../../engine/model/ids.ts";
import type { Planner } from "../../engine/plan/types.ts";
import { publishResults } from "../../engine/run/results.ts";
import { defineNode, port } from "../../engine/sdk.ts";
import { gridOf, resultOf } from "./plan-rig.ts";

const day = 24 * 60 * 60 * 1000;
const fingerprint = { type: "t.t", version: 1, params: {}, inputs: {} };

let folder: string;
let root: string;
let store: Store;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-sharing-"));
  root = join(folder, "store");
  store = await opened();
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

async function opened(): Promise<Store> {
  const result = await openStore({ root });
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

describe("gc", () => {
  it("takes nothing that a process put which began while it was collecting", async () => {
    const now = Date.now() - 1;
    const { digest } = await store.objects.putBytes(Buffer.from("of a run that has just begun"));
    await collect({ now });
    expect(openObjects(root).has(digest)).toBe(true);
  });

  it("forgets no result once another process may have found it", async () => {
    const out = { ...(await store.objects.putBytes(Buffer.from("old"))), kind: "file" as const };
    const result = resultOf(keyOf(fingerprint), fingerprint, { out }, Date.now() - 40 * day);
    await store.commit(result);
    const since = Date.now();
    const begun: number[] = [];
    await collect({
      now: since + 1_000,
      othersSince: () => begun[0],
      // Comes while the collection looks at what is there.
      alone: async () => void begun.push(since),
    });
    store = await opened();
    expect(store.result(result.key)).toEqual(result);
    expect(openObjects(root).has(out.digest)).toBe(true);
  });

  it("looks again when a process came and went meanwhile, and keeps what its run had", async () => {
    const out = { ...(await store.objects.putBytes(Buffer.from("old"))), kind: "file" as const };
    const result = resultOf(keyOf(fingerprint), fingerprint, { out }, Date.now() - 40 * day);
    await store.commit(result);
    let times = 0;
    await collect({
      now: Date.now() + 1_000,
      alone: async (index, work) => {
        if (times++ > 0) return work();
        const roster = await putRoster(openObjects(root), [["s" as StepId, result.key]]);
        const entry: RunEntry = ["p", "/p.yaml", Date.now(), true, roster];
        await index.runs.put("20260101-000000-0000", entry);
        return undefined;
      },
    });
    expect(times).toBe(2);
    store = await opened();
    expect(store.result(result.key)).toEqual(result);
    expect(await store.verify()).toEqual([]);
  });

  it("lets a process that comes while results are forgotten wait until they are", async () => {
    const parts = await openLeases(root);
    const others = parts.othersSince();
    expect(others).toBeDefined();
    await store.close();
    let entered = false;
    const done = await parts.alone(parts.openings(), async () => {
      const waiting = opened().then((late) => ((entered = true), (store = late)));
      // The store cannot be opened before this is over: every turn that is given to it changes nothing.
      for (let turn = 0; turn < 50; turn++) await setImmediate();
      expect(entered).toBe(false);
      return { waiting };
    });
    await done?.waiting;
    expect(entered).toBe(true);
    await parts.close();
  });

  it("keeps what memo entries of any age mention while another process may read them", async () => {
    const { digest } = await store.objects.putBytes(Buffer.from("attacked image"));
    await store.memoPut([["item", { digest }]]);
    await collect({ now: Date.now() + 40 * day, othersSince: () => Date.now() + 40 * day });
    expect(openObjects(root).has(digest)).toBe(true);
    store = await opened();
    expect(store.memoGet(["item"])).toEqual([{ digest }]);
  });

  /** Collects as the store does, with others that come and go as told. */
  async function collect(options: {
    readonly now: number;
    readonly othersSince?: Leases["othersSince"];
    readonly alone?: (index: Index, work: () => Promise<unknown>) => Promise<unknown>;
  }): Promise<void> {
    await store.close();
    const index = openIndex(join(root, "index"), root, false);
    const alone = options.alone ?? ((_, work) => work());
    const leases = {
      othersSince: options.othersSince ?? (() => undefined),
      held: () => new Set<string>(),
      openings: () => 1,
      alone: (_: number, work: () => Promise<unknown>) => alone(index, work),
    } as unknown as Leases;
    const parts = { root, index, objects: openObjects(root), leases };
    await collectGarbage(parts, { days: 30, dryRun: false, now: options.now });
    await index.close();
  }
});

describe("a run that begins", () => {
  it("clears away what dead processes left unfinished, and nothing else", async () => {
    const mine = temporaryPath(root);
    const [scope, , start] = basename(mine).split("-");
    await writeFile(mine, "mine");
    // Process numbers end far below this one.
    await mkdir(join(root, "tmp", `${scope}-999999999-${start}-0123456789ab`));
    await writeFile(join(root, "tmp", `00000000-1-${start}-0123456789ab`), "of another machine");
    await store.createRun();
    const left = await readdir(join(root, "tmp"));
    expect(new Set(left)).toEqual(new Set([basename(mine), `00000000-1-${start}-0123456789ab`]));
  });
});

describe("a results folder", () => {
  const reporter = defineNode({
    type: "test.reporter",
    version: 1,
    summary: "Writes a report",
    inputs: {},
    outputs: { report: port("report") },
    params: z.object({}),
    run: async () => {},
  });

  it("is whole, and shown, when several runs publish into it at once", async () => {
    const grid = gridOf([{ id: "table", type: reporter }]);
    const publish = async (text: string): Promise<ReturnType<typeof publishResults>> => {
      const out = join(folder, text);
      await mkdir(out);
      await writeFile(join(out, "table.md"), text);
      await writeFile(join(out, "table.csv"), text);
      const report = await store.objects.putArtifact(out, "folder");
      const planner = { outputs: () => ({ report }) } as unknown as Planner;
      return publishResults({ grid, planner, store, finished: () => true });
    };
    const texts = Array.from({ length: 12 }, (_, i) => `text ${i % 3} of ${i}`);
    const all = await Promise.all(texts.map(publish));
    expect(all.map(({ results }) => results[0]?.text)).toEqual(texts);
    const target = join(root, "results", "p", "table");
    expect(await readdir(join(root, "results", "p"))).toEqual(["table"]);
    const text = await readFile(join(target, "table.md"), "utf8");
    expect(texts).toContain(text);
    expect(await readFile(join(target, "table.csv"), "utf8")).toBe(text);
    expect(await readdir(join(root, "tmp"))).toEqual([]);
  });
});

describe("limited address space", () => {
  it("gives the index a share that leaves room to compute", () => {
    expect(indexMapSize(Infinity)).toBe(2 ** 36);
    expect(indexMapSize(2 ** 40)).toBe(2 ** 36);
    expect(indexMapSize(12e9)).toBe(2 ** 31);
    expect(() => indexMapSize(5e8)).toThrow("address space");
    expect(() => indexMapSize(-1)).toThrow("address space");
  });

  it.skipIf(!existsSync("/proc/self/limits"))("lets a store open, or says why not (needs /proc)", () => {
    const open = (kilobytes: number): string => {
      const code = `
          const { openStore } = await import(${JSON.stringify(fileURLToPath(new URL("../../cache/store.ts", import.meta.url)))});
          const opened = await openStore({ root: ${JSON.stringify(join(folder, `limited-${kilobytes}`))} });
          console.log(opened.ok ? "opened" : opened.error.message);
          if (opened.ok) await opened.value.close();`;
      const { stdout } = spawnSync(
        "sh",
        ["-c", `ulimit -v ${kilobytes} && exec "$0" --input-type=module -e "$1"`, process.execPath, code],
        { encoding: "utf8" },
      );
      return stdout.trim();
    };
    expect(open(40_000_000)).toBe("opened");
    expect(open(2_000_000)).toContain("address space");
  });
});
