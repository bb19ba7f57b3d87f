import { existsSync } from "node:fs";
import {
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  truncate,
  utimes,
  writeFile,
  chmod,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open as openEnvironment } from "lmdb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StoreError } from "../../cache/errors.ts";
import { findStoreRoot } from "../../cache/find.ts";
import { digestBytes } from "../../cache/hash.ts";
import { keyOf } from "../../cache/key.ts";
import { runIdAt } from "../../cache/runs.ts";
import { fileStat } from "../../cache/stat-cache.ts";
import { openStore } from "../../cache/store.ts";
import { temporaryPath } from "../../cache/temporary.ts";
import type { Store } from "../../cache/types.ts";
import type { ArtifactRef } from "../../engine/model/artifact.ts";
import type { Fingerprint } from "../../engine/model/fingerprint.ts";
import type { Digest, Key, RunId, StepId } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import type { FileStat } from "../../engine/model/protocol.ts";
import { resultOf } from "./plan-rig.ts";

const run = "20260101-000000-0000" as RunId;
const step = (name: string): StepId => name as StepId;
const fingerprintNamed = (name: string): Fingerprint => ({
  type: "t.t",
  version: 1,
  params: { name },
  inputs: {},
});
const keyNamed = (name: string): Key => keyOf(fingerprintNamed(name));
const day = 24 * 60 * 60 * 1000;
const live = new AbortController().signal;
const old = Date.now() - 40 * day;

let folder: string;
let root: string;
let store: Store;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-store-"));
  root = join(folder, "store");
  store = await opened();
});
afterEach(async () => {
  vi.useRealTimers();
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

async function opened(readOnly = false): Promise<Store> {
  const result = await openStore({ root, readOnly });
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

async function artifact(text: string): Promise<ArtifactRef> {
  return { ...(await store.objects.putBytes(Buffer.from(text))), kind: "file" };
}

async function committed(name: string, text: string, finishedAt = Date.now()): Promise<StoredResult> {
  const result = resultOf(keyNamed(name), fingerprintNamed(name), { out: await artifact(text) }, finishedAt);
  return store.commit(result);
}

/** What has the time of the millisecond in which a collection begins counts as put meanwhile. */
async function setTime(path: string, time: number): Promise<void> {
  await utimes(path, new Date(time), new Date(time));
}

describe("results", () => {
  it("are there after the commit, and in another process's view", async () => {
    const result = await committed("a", "a");
    expect(store.result(result.key)).toEqual(result);
    const other = await opened();
    expect(other.result(result.key)).toEqual(result);
    await other.close();
  });

  it("of the first commit win; replace and drop change them", async () => {
    const first = resultOf(keyNamed("k"), fingerprintNamed("k"), { out: await artifact("1") });
    const second = resultOf(keyNamed("k"), fingerprintNamed("k"), { out: await artifact("2") });
    const other = resultOf(keyNamed("o"), fingerprintNamed("o"), { out: await artifact("o") });
    // They are committed together, and each caller gets its own.
    const kept = await Promise.all([first, other, second].map((result) => store.commit(result)));
    expect(kept).toEqual([first, other, first]);
    expect(store.result(other.key)).toEqual(other);
    await store.replace(second);
    expect(store.result(first.key)).toEqual(second);
    await store.drop(first.key);
    expect(store.result(first.key)).toBeUndefined();
  });
});

describe("pointers", () => {
  it("remember the last result and the one before", async () => {
    const [a, b] = [keyNamed("a"), keyNamed("b")];
    await store.point("p", [[step("s"), { key: a, run }]]);
    expect(store.pointer("p", step("s"))).toEqual({ key: a, run });
    await store.point("p", [[step("s"), { key: b, run }]]);
    const later = "20260102-000000-0000" as RunId;
    await store.point("p", [[step("s"), { key: b, run: later }]]);
    expect(store.pointer("p", step("s"))).toEqual({ key: b, run: later, previous: a });
    expect(store.pointer("q", step("s"))).toBeUndefined();
  });

  it("may have names longer than LMDB's keys, and names that run together", async () => {
    const long = step(`node[axis=${"x".repeat(3_000)}]`);
    await store.point("p", [[long, { key: keyNamed("long"), run }]]);
    await store.point('p"s', [[step("t"), { key: keyNamed("odd"), run }]]);
    expect(store.pointer("p", long)?.key).toBe(keyNamed("long"));
    expect(store.pointer("p", step('"st'))).toBeUndefined();
  });
});

describe("the stat cache", () => {
  const nanoseconds = (ms: number): string => String(BigInt(ms) * 1_000_000n);
  const statAt = (ms: number, size = "5"): FileStat => [size, nanoseconds(ms), nanoseconds(ms), "42"];
  const digest = digestBytes("x");

  it("knows a file by size, times and inode", async () => {
    const stat = statAt(Date.now() - 60_000);
    await store.statPut([["/d/a", stat, digest]], Date.now());
    expect(store.statGet([["/d/a", stat]])).toEqual([digest]);
    expect(store.statGet([["/d/b", stat]])).toEqual([undefined]);
    for (const [i] of stat.entries()) {
      const other = stat.map((value, j) => (i === j ? `${value}1` : value)) as unknown as FileStat;
      expect(store.statGet([["/d/a", other]])).toEqual([undefined]);
    }
  });

  it("counts that from when the file was looked at, not from when its digest came", async () => {
    const stat = statAt(Date.now() - 60_000);
    await store.statPut([["/d/long", stat, digest]], Date.now() - 59_000);
    expect(store.statGet([["/d/long", stat]])).toEqual([undefined]);
  });

  it("trusts a time of modification that somebody set ahead, and no clock that is ahead", async () => {
    const now = Date.now();
    const [set, ahead] = [nanoseconds(now + day), nanoseconds(now + 10_000)];
    const settled: FileStat = ["5", set, nanoseconds(now - day), "42"];
    await store.statPut(
      [
        ["/d/set", settled, digest],
        ["/d/ahead", ["5", ahead, ahead, "42"], digest],
      ],
      now,
    );
    expect(store.statGet([["/d/set", settled]])).toEqual([digest]);
    expect(store.statGet([["/d/ahead", ["5", ahead, ahead, "42"]]])).toEqual([undefined]);
  });

  it("does not trust a file that changed within 2 s", async () => {
    // However long the store takes, it writes this down at once.
    vi.useFakeTimers({ toFake: ["Date"] });
    const now = Date.now();
    const changedNow: FileStat = ["5", nanoseconds(now - day), nanoseconds(now - 500), "42"];
    await store.statPut(
      [
        ["/d/new", statAt(now - 1_000), digest],
        ["/d/moved-in", changedNow, digest],
      ],
      now,
    );
    expect(store.statGet([["/d/new", statAt(now - 1_000)]])).toEqual([undefined]);
    expect(store.statGet([["/d/moved-in", changedNow]])).toEqual([undefined]);
  });
});

describe("locators", () => {
  const dataset = async (name: string): Promise<string> => {
    const path = join(folder, name);
    await mkdir(path);
    await writeFile(join(path, "a.png"), "a");
    await writeFile(join(path, "b.png"), "b");
    return path;
  };
  const list = async (): Promise<Digest> => {
    const entries = [
      ["a.png", digestBytes("a"), 1],
      ["b.png", digestBytes("b"), 1],
    ];
    return (await store.objects.putBytes(Buffer.from(JSON.stringify(entries)))).digest;
  };
  const places = (): readonly unknown[] =>
    store.locate([digestBytes("a"), digestBytes("b"), digestBytes("c")]);

  it("find bytes in a dataset folder, in objects first, and nowhere", async () => {
    const path = await dataset("d");
    await store.registerExternal("rocov2", path, await list());
    const at = (name: string): object => ({
      kind: "external",
      root: path,
      name,
      dataset: "rocov2",
      isSeen: false,
    });
    expect(places()).toEqual([at("a.png"), at("b.png"), undefined]);
    await artifact("b");
    expect(places()).toEqual([at("a.png"), { kind: "object" }, undefined]);
  });

  it("follow a folder that moves away and back", async () => {
    const before = await dataset("old");
    const digests = await list();
    const moved = join(folder, "new");
    await store.registerExternal("d", before, digests);
    await rename(before, moved);
    await store.registerExternal("d", moved, digests);
    expect(places()[0]).toMatchObject({ root: moved });
    await rename(moved, before);
    await store.registerExternal("d", before, digests);
    expect(places()[0]).toMatchObject({ root: before });
  });

  it("pass over a copy that is known to have changed", async () => {
    const [one, other] = [await dataset("one"), await dataset("other")];
    await store.registerExternal("d", one, await list());
    await store.registerExternal("d", other, await list());
    expect(places()[0]).toMatchObject({ root: other, isSeen: false });
    const seen = async (path: string, bytes: string): Promise<void> => {
      await setTime(path, old);
      const stat = fileStat(await lstat(path, { bigint: true }));
      // Looked at a minute from now, when the file's change is settled.
      await store.statPut([[path, stat, digestBytes(bytes)]], Date.now() + 60_000);
    };
    await writeFile(join(other, "a.png"), "Z");
    await seen(join(other, "a.png"), "Z");
    expect(places()[0]).toMatchObject({ root: one, isSeen: false });
    await seen(join(one, "a.png"), "a");
    expect(places()[0]).toMatchObject({ root: one, isSeen: true });
    // What is there now is not what was seen: it is looked at again.
    await writeFile(join(one, "a.png"), "b");
    expect(places()[0]).toMatchObject({ root: one, isSeen: false });
  });

  it("name the last place of bytes that are gone", async () => {
    const path = await dataset("d");
    await store.registerExternal("d", path, await list());
    await rm(path, { recursive: true });
    expect(places()[0]).toEqual({ kind: "external", root: path, name: "a.png", dataset: "d", isSeen: false });
  });

  it("need the list", async () => {
    await expect(store.registerExternal("d", folder, digestBytes("no list"))).rejects.toMatchObject({
      code: "missing",
    });
  });
});

describe("memo and durations", () => {
  it("keep values, falsy ones too, under keys of any length", async () => {
    const long = "k".repeat(5_000);
    await store.memoPut([
      ["a", { caption: "x" }],
      ["zero", 0],
      ["none", null],
      [long, [1]],
    ]);
    expect(store.memoGet(["a", "zero", "none", long, "b"])).toEqual([
      { caption: "x" },
      0,
      null,
      [1],
      undefined,
    ]);
  });

  it("estimate by the median of the last nine", async () => {
    expect(store.duration("t.t")).toBeUndefined();
    await Promise.all([store.recordDurations("t.t", [10]), store.recordDurations("t.t", [30])]);
    expect(store.duration("t.t")).toBe(20);
    await store.recordDurations("t.t", [1, 100, 101, 102, 103, 104, 105, 106, 107, 108]);
    expect(store.duration("t.t")).toBe(104);
  });
});

describe("runs", () => {
  it("have ids that sort by time, even within a second", async () => {
    const ids = [0, 1, 15, 999, 1_000, 61_000].map((ms) => runIdAt(Date.UTC(2026, 10, 24, 3, 5) + ms));
    expect(ids[0]).toBe("20261124-030500-0000");
    expect(ids.toSorted()).toEqual(ids);
    const made = await Promise.all(Array.from({ length: 8 }, () => store.createRun()));
    expect(new Set(made.map(({ id }) => id)).size).toBe(8);
    expect(existsSync(made[0]?.folder ?? "")).toBe(true);
    expect(await store.runs()).toEqual(
      made
        .map(({ id }) => id)
        .toSorted()
        .toReversed(),
    );
  });
});

describe("leases", () => {
  it("are exclusive: the second waits, hears of it once, and gets it after the release", async () => {
    const other = await opened();
    const key = keyNamed("k");
    const release = await store.lease(key, live);
    const holders: string[] = [];
    let second = false;
    const waiting = other.lease(key, live, (holder) => {
      holders.push(holder);
      release();
    });
    const releaseSecond = await waiting.then((done) => ((second = true), done));
    expect(second).toBe(true);
    expect(holders).toEqual([expect.stringContaining(String(process.pid))]);
    releaseSecond();
    await other.close();
  });

  it("stop waiting when told", async () => {
    const release = await store.lease(keyNamed("k"), live);
    const abort = new AbortController();
    const waiting = store.lease(keyNamed("k"), abort.signal, () => abort.abort(new Error("enough")));
    await expect(waiting).rejects.toThrow("enough");
    release();
    release();
  });

  it("of a store that was closed are free", async () => {
    const other = await opened();
    await other.lease(keyNamed("k"), live);
    await other.close();
    let waited = false;
    (await store.lease(keyNamed("k"), live, () => (waited = true)))();
    expect(waited).toBe(false);
  });
});

describe("gc", () => {
  it("keeps what pointers name and what is young, and what they mention", async () => {
    const image = await artifact("\x89PNG\0 attacked");
    const pairs = `${JSON.stringify({ id: "1", image: { digest: image.digest, size: 1 } })}\n`;
    const pointed = await committed("pointed", pairs, old);
    await store.point("p", [[step("s"), { key: pointed.key, run }]]);
    const young = await committed("young", "young");
    const stale = await committed("stale", "stale", old);
    const garbage = await artifact("garbage");
    await setTime(store.objects.path(garbage.digest), old);

    const dry = await store.gc({ days: 30, dryRun: true });
    expect(store.result(stale.key)).toBeDefined();
    const report = await store.gc({ days: 30, dryRun: false });
    expect(report).toEqual(dry);
    expect(report.removed).toMatchObject({
      results: 1,
      objects: 2,
      bytes: "stale".length + "garbage".length,
    });
    expect(store.result(stale.key)).toBeUndefined();
    expect(store.result(young.key)).toBeDefined();
    expect(store.objects.has(image.digest)).toBe(true);
    expect(store.objects.has(garbage.digest)).toBe(false);
    expect(await store.verify()).toEqual([]);
  });

  it("keeps the files of folders and the lists of external files", async () => {
    await mkdir(join(folder, "out"));
    await writeFile(join(folder, "out", "a"), "in a folder");
    const out = await store.objects.putArtifact(join(folder, "out"), "folder");
    const external = { ...(await artifact("[]")), count: 0 };
    const reading = { ...fingerprintNamed("f"), external };
    const result = resultOf(keyOf(reading), reading, { out }, old);
    await store.commit(result);
    await store.point("p", [[step("s"), { key: result.key, run }]]);
    expect((await store.gc({ days: 0, dryRun: false })).removed.objects).toBe(0);
    expect(await store.objects.complete(out)).toBe(true);
  });

  it("keeps what young memo entries mention, and forgets entries whose bytes it takes", async () => {
    const kept = await artifact("kept image");
    await setTime(store.objects.path(kept.digest), old);
    await store.memoPut([["item", { image: { digest: kept.digest } }]]);
    await store.gc({ days: 1, dryRun: false });
    expect(store.objects.has(kept.digest)).toBe(true);
    await store.gc({ days: 0, dryRun: false });
    expect(store.objects.has(kept.digest)).toBe(false);
    expect(store.memoGet(["item"])).toEqual([undefined]);
  });

  it("takes leftovers of dead processes, and none of living ones", async () => {
    const mine = temporaryPath(root);
    const [scope, , start] = (mine.split("/").at(-1) ?? "").split("-");
    // Process numbers end far below this one.
    const dead = join(root, "tmp", `${scope}-999999999-${start}-0123456789ab`);
    await writeFile(mine, "mine");
    await writeFile(dead, "dead");
    const aged = join(root, "tmp", "nobody-knows");
    await writeFile(aged, "aged");
    await utimes(aged, 1, 1);
    await store.gc({ days: 30, dryRun: false });
    expect(await readdir(join(root, "tmp"))).toEqual([mine.split("/").at(-1)]);
  });

  it("takes checkpoints of finished steps and old ones, and none that is being written", async () => {
    const finished = await committed("done", "x");
    const held = keyNamed("held");
    const release = await store.lease(held, live);
    for (const key of [finished.key, held, keyNamed("waiting")]) {
      await mkdir(store.checkpointFolder(key), { recursive: true });
    }
    await store.gc({ days: 30, dryRun: false });
    expect((await readdir(join(root, "checkpoints"))).toSorted()).toEqual(
      [held, keyNamed("waiting")].toSorted(),
    );
    const waiting = store.checkpointFolder(keyNamed("waiting"));
    await setTime(waiting, Date.now() - 1_000);
    await store.gc({ days: 0, dryRun: false });
    expect(await readdir(join(root, "checkpoints"))).toEqual([held]);
    release();
  });

  it("keeps a checkpoint that was saved lately by a step that began long ago", async () => {
    const folder = store.checkpointFolder(keyNamed("long"));
    await mkdir(join(folder, "cpu", "00000400"), { recursive: true });
    await setTime(folder, old);
    await store.gc({ days: 30, dryRun: false });
    expect(existsSync(join(folder, "cpu", "00000400"))).toBe(true);
    await setTime(join(folder, "cpu"), old);
    await store.gc({ days: 30, dryRun: false });
    expect(existsSync(folder)).toBe(false);
  });

  it("keeps what a cluster's steps have made while no driver was there, and takes submissions long forgotten", async () => {
    await mkdir(join(root, "slurm", "aa", "request"), { recursive: true });
    const since = Date.now() - 60_000;
    for (const part of ["slurm/aa/request", "slurm/aa"]) await setTime(join(root, part), since);
    const object = await store.objects.putBytes(Buffer.from("made on a node"));
    await setTime(store.objects.path(object.digest), since + 1000);
    const checkpoint = join(root, "checkpoints", "k", "cpu", "00000001");
    await mkdir(checkpoint, { recursive: true });
    await store.gc({ days: 0, dryRun: false });
    expect(store.objects.has(object.digest)).toBe(true);
    expect(existsSync(checkpoint)).toBe(true);
    for (const part of ["slurm/aa/request", "slurm/aa"])
      await setTime(join(root, part), Date.now() - 8 * day);
    await store.gc({ days: 0, dryRun: false });
    expect(existsSync(join(root, "slurm", "aa"))).toBe(false);
    await store.gc({ days: 0, dryRun: false });
    expect(store.objects.has(object.digest)).toBe(false);
  });

  it("leaves alone what another process may be using", async () => {
    const other = await opened();
    const fresh = await artifact("just put by the other");
    const stale = await committed("stale", "stale", old);
    await store.gc({ days: 0, dryRun: false });
    expect(store.objects.has(fresh.digest)).toBe(true);
    expect(store.result(stale.key)).toBeDefined();
    await other.close();
    await store.gc({ days: 0, dryRun: false });
    expect(store.objects.has(fresh.digest)).toBe(false);
    expect(store.result(stale.key)).toBeUndefined();
  });
});

describe("verify", () => {
  it("finds a flipped bit, a missing object and a dangling pointer, and who needs them", async () => {
    const flipped = await committed("flipped", "original");
    const missing = await committed("missing", "soon gone");
    await store.point("p", [
      [step("one"), { key: flipped.key, run }],
      [step("two"), { key: missing.key, run }],
      [step("three"), { key: keyNamed("never"), run }],
    ]);
    const [flippedDigest, missingDigest] = [flipped, missing].map(
      ({ outputs }) => outputs["out"]?.digest as Digest,
    );
    const path = store.objects.path(flippedDigest as Digest);
    await chmod(path, 0o644);
    await writeFile(path, "originaL");
    await rm(store.objects.path(missingDigest as Digest));
    const seen: number[] = [];
    const problems = await store.verify((done, total) => seen.push(done / total));
    expect(problems.map(({ kind, subject, neededBy }) => ({ kind, subject, neededBy }))).toEqual([
      { kind: "wrong-bytes", subject: flippedDigest, neededBy: ["p: one"] },
      { kind: "dangling-pointer", subject: keyNamed("never"), neededBy: ["p: three"] },
      { kind: "missing-object", subject: missingDigest, neededBy: ["p: two"] },
    ]);
    expect(seen.at(-1)).toBe(1);
  });
});

describe("opening", () => {
  it("reads an absent store as an empty one, without making it", async () => {
    const result = await openStore({ root: join(folder, "absent"), readOnly: true });
    if (!result.ok) throw new Error(result.error.message);
    expect(result.value.writable).toBe(false);
    expect(result.value.result(keyNamed("a"))).toBeUndefined();
    expect(await result.value.status()).toMatchObject({ results: 0, runs: 0 });
    expect(existsSync(join(folder, "absent"))).toBe(false);
    await result.value.close();
  });

  it("for reading takes a store of a version that had fewer tables", async () => {
    await store.close();
    await rm(join(root, "index"), { recursive: true });
    const before = openEnvironment({
      path: join(root, "index"),
      maxDbs: 8,
      encoding: "json",
      noSubdir: false,
    });
    const names = ["results", "pointers", "stats", "locators", "sources", "registered", "memo", "durations"];
    for (const name of names) before.openDB({ name, encoding: "json" });
    await before.openDB({ name: "durations", encoding: "json" }).put("t.t", [7]);
    await before.close();
    const reader = await opened(true);
    expect(reader.duration("t.t")).toBe(7);
    expect([reader.tags(), reader.runRecords(), reader.tag("t")]).toEqual([[], [], undefined]);
    expect((await reader.status()).tags).toBe(0);
    expect(await reader.verify()).toEqual([]);
    await reader.close();
    store = await opened();
    await store.setTag({ name: "t", pipeline: "p" }, []);
    expect(store.tags()).toHaveLength(1);
  });

  it("for reading sees everything and writes nothing", async () => {
    const result = await committed("a", "a");
    await store.point("p", [[step("s"), { key: result.key, run }]]);
    const reader = await opened(true);
    expect(reader.writable).toBe(false);
    expect(reader.result(result.key)).toEqual(result);
    expect(reader.pointer("p", step("s"))?.key).toBe(result.key);
    const writes = [
      reader.commit(result),
      reader.replace(result),
      reader.drop(result.key),
      reader.point("p", [[step("t"), { key: result.key, run }]]),
      reader.memoPut([["a", 1]]),
      reader.recordDurations("t", [1]),
      reader.createRun(),
      reader.lease(result.key, live),
      reader.gc({ days: 0, dryRun: false }),
      reader.repair([]),
      reader.setTag({ name: "t", pipeline: "p" }, []),
      reader.deleteTag("t"),
      reader.recordRun({ run, pipeline: "p", path: "/p.yaml", whole: true, profiles: [] }, []),
      reader.adopt([{ result, away: false }], "/shared"),
    ];
    for (const write of await Promise.allSettled(writes)) {
      expect(write).toMatchObject({ status: "rejected", reason: { code: "read-only" } });
      if (write.status === "rejected") expect(write.reason).toBeInstanceOf(StoreError);
    }
    await reader.close();
    expect(store.result(result.key)).toEqual(result);
  });

  it("refuses a newer format, a damaged one, a folder of something else, and a file", async () => {
    const formatFile = join(root, "format.json");
    expect(JSON.parse(await readFile(formatFile, "utf8"))).toMatchObject({ format: 1 });
    await writeFile(formatFile, '{"format":2,"ranflow":"9.0.0"}');
    expect(await openStore({ root })).toMatchObject({
      ok: false,
      error: { code: "store-too-new", message: expect.stringContaining("9.0.0") as string },
    });
    await writeFile(formatFile, "{");
    expect(await openStore({ root })).toMatchObject({ ok: false, error: { code: "store-unusable" } });
    const another = join(folder, "another");
    await mkdir(join(another, "index"), { recursive: true });
    await writeFile(join(another, "format.json"), '{"format":1,"ranflow":"0.1.0"}');
    await writeFile(join(another, "index", "data.mdb"), "no index");
    expect(await openStore({ root: another })).toMatchObject({
      ok: false,
      error: { code: "store-unusable", message: expect.stringContaining("data.mdb") as string },
    });
    await rm(another, { recursive: true });
    await writeFile(join(folder, "thesis.tex"), "");
    for (const place of [folder, join(folder, "thesis.tex")]) {
      expect(await openStore({ root: place })).toMatchObject({
        ok: false,
        error: { code: "store-unusable" },
      });
    }
    expect(await readdir(folder)).toEqual(["store", "thesis.tex"]);
  });

  it("refuses an index that was cut short, and opens without it", async () => {
    const result = await committed("a", "a");
    await store.memoPut(Array.from({ length: 500 }, (_, i) => [`item ${i}`, "x".repeat(200)]));
    await store.close();
    const path = join(root, "index", "data.mdb");
    await truncate(path, 16_384);
    expect(await openStore({ root })).toMatchObject({
      ok: false,
      error: { code: "store-unusable", hint: expect.stringContaining("cache pull") as string },
    });
    await rename(join(root, "index"), join(folder, "index"));
    store = await opened();
    expect(store.result(result.key)).toBeUndefined();
    expect(store.objects.has(result.outputs["out"]?.digest as Digest)).toBe(true);
  });

  it("may be done again after closing, and closing twice", async () => {
    const result = await committed("a", "a");
    await store.close();
    await store.close();
    store = await opened();
    expect(store.result(result.key)).toEqual(result);
  });
});

describe("finding the store", () => {
  it("takes the flag, the variable, the nearest ancestor's, or the working directory", async () => {
    const inner = join(folder, "a", "b");
    await mkdir(join(folder, "a", ".ranflow"), { recursive: true });
    await mkdir(inner, { recursive: true });
    const env = { RANFLOW_STORE: "from-env" };
    expect(findStoreRoot({ flag: "flagged", env, cwd: inner })).toBe(join(inner, "flagged"));
    expect(findStoreRoot({ env, cwd: inner })).toBe(join(inner, "from-env"));
    expect(findStoreRoot({ env: {}, cwd: inner })).toBe(join(folder, "a", ".ranflow"));
    expect(findStoreRoot({ env: { RANFLOW_STORE: "" }, cwd: folder })).toBe(join(folder, ".ranflow"));
  });
});
