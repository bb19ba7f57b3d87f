import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keyOf } from "../../cache/key.ts";
import { runIdAt, timeOfRun } from "../../cache/runs.ts";
import { openStore } from "../../cache/store.ts";
import { isTagName } from "../../cache/tags.ts";
import type { GcReport, Store } from "../../cache/types.ts";
import { upstreamEntries } from "../../cache/upstream.ts";
import type { Digest, Key, RunId, StepId } from "../../engine/model/ids.ts";
import { resultOf } from "./plan-rig.ts";

const day = 24 * 60 * 60 * 1000;
const longAgo = Date.now() - 100 * day;

let folder: string;
let store: Store;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-protection-"));
  const opened = await openStore({ root: join(folder, "store") });
  if (!opened.ok) throw new Error(opened.error.message);
  store = opened.value;
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

/** A result that was made long ago, and its step, which has the result's name. */
async function old(name: string, finishedAt = longAgo): Promise<Key> {
  const fingerprint = { type: "t.t", version: 1, params: { name }, inputs: {} };
  const out = { ...(await store.objects.putBytes(Buffer.from(name))), kind: "file" as const };
  const key = keyOf(fingerprint);
  const result = resultOf(key, fingerprint, { out }, finishedAt);
  await store.commit({ ...result, provenance: { ...result.provenance, runId: runIdAt(finishedAt) } });
  return key;
}

async function file(name: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, "");
  return path;
}

let runs = 0;
async function ran(
  steps: Readonly<Record<string, Key>>,
  {
    path,
    pipeline = "p",
    whole = true,
    profiles = [],
  }: {
    readonly path: string;
    readonly pipeline?: string;
    readonly whole?: boolean;
    readonly profiles?: readonly string[];
  },
): Promise<RunId> {
  const run = runIdAt(longAgo + 1_000 * ++runs);
  await mkdir(store.runFolder(run), { recursive: true });
  const entries = Object.entries(steps).map(([step, key]) => [step as StepId, key] as const);
  await store.recordRun({ run, pipeline, path, whole, profiles }, entries);
  return run;
}

/** All that is not kept by a run of the last days: those that were recorded a moment ago included. */
async function collected(forget: readonly string[] = []): Promise<GcReport> {
  return store.gc({ days: 0, dryRun: false, forget });
}

function left(...keys: readonly Key[]): readonly boolean[] {
  return keys.map((key) => store.result(key) !== undefined);
}

describe("a pipeline", () => {
  it("keeps what its last whole run had, and what came after it step by step", async () => {
    const path = await file("p.yaml");
    const [a1, a2, a3, b1, gone, once] = await Promise.all(
      ["a1", "a2", "a3", "b1", "gone", "once"].map((name) => old(name)),
    );
    await ran({ a: once as Key, gone: gone as Key }, { path });
    await ran({ a: a1 as Key, b: b1 as Key }, { path });
    await ran({ a: a2 as Key }, { path, whole: false });
    await ran({ a: a3 as Key }, { path, whole: false });
    const report = await collected();
    expect(left(a3 as Key, b1 as Key, a1 as Key, a2 as Key, gone as Key, once as Key)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(report.keptBy).toEqual({ pipeline: 2, tag: 0, run: 0, young: 0 });
    expect(await store.verify()).toEqual([]);
  });

  it("keeps what its last run had with each choice of profiles", async () => {
    const path = await file("p.yaml");
    const [big, bigger, part, small, plain] = await Promise.all(
      ["big", "bigger", "part", "small", "plain"].map((name) => old(name)),
    );
    await ran({ a: big as Key, b: big as Key }, { path, profiles: ["paper"] });
    await ran({ a: bigger as Key, b: part as Key }, { path, profiles: ["paper"] });
    await ran({ a: plain as Key }, { path });
    await ran({ b: small as Key }, { path, profiles: ["tiny"], whole: false });
    await collected();
    expect(left(big as Key, bigger as Key, part as Key, small as Key, plain as Key)).toEqual([
      false,
      true,
      true,
      true,
      true,
    ]);
    const { pipelines } = await store.status();
    expect(pipelines.map(({ profiles, results }) => [profiles, results])).toEqual([
      [["tiny"], 1],
      [[], 1],
      [["paper"], 2],
    ]);
  });

  it("keeps what other runs of the last days had", async () => {
    const path = await file("p.yaml");
    const [before, now] = [await old("before"), await old("now")];
    await ran({ a: before }, { path });
    await ran({ a: now }, { path });
    const { keptBy } = await store.gc({ days: 1, dryRun: true });
    expect(keptBy).toEqual({ pipeline: 1, tag: 0, run: 1, young: 0 });
  });

  it("of which no run has ended keeps what its pointers name, until it is forgotten", async () => {
    const key = await old("a");
    await store.point("killed", [["a" as StepId, { key, run: runIdAt(longAgo) }]]);
    expect((await collected()).keptBy.pipeline).toBe(1);
    await collected(["killed"]);
    expect(left(key)).toEqual([false]);
    expect(store.pointer("killed", "a" as StepId)).toBeUndefined();
  });

  it("has another's name and keeps its own; one that was moved keeps what it has at its new place", async () => {
    const [mine, theirs, moved] = [await old("mine"), await old("theirs"), await old("moved")];
    await ran({ a: moved }, { path: join(folder, "gone.yaml") });
    await ran({ a: theirs }, { path: await file("theirs.yaml") });
    await ran({ a: mine }, { path: await file("mine.yaml") });
    await collected();
    expect(left(mine, theirs, moved)).toEqual([true, true, false]);
  });

  it("whose file was deleted keeps its results until it is forgotten", async () => {
    const key = await old("a");
    await ran({ a: key }, { path: join(folder, "deleted.yaml") });
    await collected();
    expect(left(key)).toEqual([true]);
    await collected(["p"]);
    expect(left(key)).toEqual([false]);
    expect(store.runRecords()).toEqual([]);
  });
});

describe("logs of runs", () => {
  it("go when they are old and made nothing that is kept", async () => {
    const path = await file("p.yaml");
    const [kept, other] = [await old("kept", longAgo + 5 * day), await old("other", longAgo + 6 * day)];
    const maker = runIdAt(longAgo + 5 * day);
    const madeGarbage = runIdAt(longAgo + 6 * day);
    for (const run of [maker, madeGarbage]) await mkdir(store.runFolder(run), { recursive: true });
    const before = await ran({ a: other }, { path });
    const last = await ran({ a: kept }, { path });
    const tagged = await ran({ a: kept }, { path: join(folder, "deleted.yaml"), pipeline: "q" });
    await store.setTag({ name: "t", pipeline: "q", run: tagged }, [["a" as StepId, kept]]);
    const report = await collected(["q"]);
    expect(report.removed.runs).toBe(2);
    const there = [maker, last, tagged, before, madeGarbage].map((run) => existsSync(store.runFolder(run)));
    expect(there).toEqual([true, true, true, false, false]);
  });

  it("tell when they began", () => {
    const time = Date.UTC(2026, 10, 24, 3, 5, 7) + 250;
    expect(timeOfRun(runIdAt(time))).toBeCloseTo(time, 0);
    expect(timeOfRun("latest")).toBeUndefined();
  });
});

describe("a list of results that cannot be read", () => {
  it("stops the collection, for what it names must not go", async () => {
    const key = await old("a");
    const run = await ran({ a: key }, { path: await file("p.yaml") });
    await rm(store.objects.path(store.runRecord(run)?.roster as Digest));
    await expect(collected()).rejects.toMatchObject({
      code: "damaged",
      message: expect.stringContaining(run),
    });
    await store.repair(await store.verify());
    await store.point("p", [["a" as StepId, { key, run }]]);
    await collected();
    expect(left(key)).toEqual([true]);
  });
});

describe("tags", () => {
  it("have names that are no path, option or run", () => {
    const good = ["v1", "submission-2026.11", "a".repeat(100), "1st", "x+y_z"];
    const bad = [
      "",
      "-x",
      ".",
      "..",
      "a/b",
      "a b",
      "ä",
      "a".repeat(101),
      "20261124-030500-4f2a",
      "latest",
      "a\n",
    ];
    expect(good.filter((name) => !isTagName(name))).toEqual([]);
    expect(bad.filter(isTagName)).toEqual([]);
  });

  it("of steps take what these were made from, and nothing else", async () => {
    const made = async (name: string, ...from: readonly string[]): Promise<Key> => {
      const digests = from.map((text) => ({ at: {}, digest: store.objects.putBytes(Buffer.from(text)) }));
      const items = await Promise.all(
        digests.map(async ({ at, digest }) => ({ at, digest: (await digest).digest })),
      );
      const inputs = items.length > 0 ? { in: items } : {};
      const fingerprint = { type: "t.t", version: 1, params: { name }, inputs };
      const out = { ...(await store.objects.putBytes(Buffer.from(name))), kind: "file" as const };
      const key = keyOf(fingerprint);
      await store.commit(resultOf(key, fingerprint, { out }, longAgo));
      return key;
    };
    const entries = await Promise.all(
      [["a"], ["b"], ["c", "a"], ["d", "b", "c"], ["e", "c"]].map(
        async ([name, ...from]) => [name as StepId, await made(name as string, ...from)] as const,
      ),
    );
    const wanted = entries.filter(([step]) => step === "e");
    const found = upstreamEntries(entries, wanted, (key) => store.result(key));
    expect(found.map(([step]) => step)).toEqual(["a", "c", "e"]);
    await store.setTag({ name: "t", pipeline: "p" }, found);
    expect((await collected()).keptBy).toMatchObject({ tag: 3 });
    expect(await store.deleteTag("t")).toBe(true);
    expect(await store.deleteTag("t")).toBe(false);
    expect((await collected()).removed.results).toBe(3);
  });
});
