import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { digestBytes } from "../../cache/hash.ts";
import { openIndex } from "../../cache/index-db.ts";
import type { Index } from "../../cache/index-db.ts";
import { openStore } from "../../cache/store.ts";
import type { RosterEntry, Store } from "../../cache/types.ts";
import { objectFiles } from "../../cache/walk.ts";
import { openCheckpoint } from "../../engine/worker/checkpoint.ts";
import type { Digest, Key, RunId } from "../../engine/model/ids.ts";
import { diskTime } from "../rig/disk-time.ts";
import fc from "../rig/fast-check.ts";
import { execute, gridOf, temporaryStore } from "./plan-rig.ts";
import type { Executed, Work } from "./plan-rig.ts";

const run = "20260101-000000-0000" as RunId;

/** Images, texts that mention them and are passed on, and steps that read both. */
const grid = gridOf([
  ...["a", "b", "c"].map((id, n) => ({ id, params: { n } })),
  { id: "images-1", params: { n: 11 } },
  { id: "images-2", params: { n: 12 } },
  { id: "passed-on", in: { a: "images-1" }, params: { n: 20 } },
  { id: "ab", in: { a: "a", b: "b" } },
  { id: "all", in: { a: "ab", b: "passed-on" }, params: { n: 1 } },
  { id: "again", in: { a: "images-2", b: "c" }, params: { n: 2 } },
]);

let store: Store;
let remove: () => Promise<void>;
beforeEach(async () => ({ store, remove } = await temporaryStore()));
afterEach(() => remove());

/** What steps write: some put images and mention them, one passes on what it was given. */
const work: Work = async (step, fingerprint) => {
  if (step.id === "passed-on") return imagesOf(11);
  const { n } = step.params as { readonly n: number };
  return step.id.startsWith("images") ? imagesOf(n) : `text of ${JSON.stringify(fingerprint)}`;
};

async function imagesOf(n: number): Promise<string> {
  const lines: string[] = [];
  for (const i of [0, 1]) {
    const image = await store.objects.putBytes(Buffer.from(`\x89PNG\0 ${n} ${i}`));
    lines.push(JSON.stringify({ id: `${i}`, image }));
  }
  return lines.join("\n");
}

async function executed(): Promise<Executed> {
  const done = await execute(grid, store, { work });
  await store.recordRun(
    { run, pipeline: grid.pipeline, path: grid.path, whole: true, profiles: [] },
    rosterOf(done),
  );
  return done;
}

function rosterOf({ planner }: Executed): readonly RosterEntry[] {
  return grid.steps.map(({ id, index }) => [id, planner.key(index) as Key]);
}

function outputsOf({ planner }: Executed): readonly unknown[] {
  return grid.steps.map(({ index }) => planner.outputs(index));
}

async function digests(): Promise<readonly Digest[]> {
  const found: Digest[] = [];
  for await (const { digest } of objectFiles(store.root)) found.push(digest);
  return found;
}

/** Steps that are not whole without an object: it is their output, or an image that their output mentions. */
async function losers(done: Executed, lost: ReadonlySet<Digest>): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { id, index } of grid.steps) {
    const { digest } = done.planner.outputs(index)?.["out"] ?? {};
    const text = await readFile(store.objects.path(digest as Digest), "utf8");
    if ([...lost].some((object) => object === digest || text.includes(`"digest":"${object}"`)))
      found.push(id);
  }
  return found.toSorted();
}

/** Images that are gone, and whose only mentions are in texts that are lost themselves: nothing tells of them. */
async function mentionedOnlyIn(
  done: Executed,
  lost: ReadonlySet<Digest>,
  gone: readonly Digest[],
): Promise<ReadonlySet<Digest>> {
  const named = new Set<Digest>([store.runRecord(run)?.roster as Digest]);
  for (const { index } of grid.steps) {
    const digest = done.planner.outputs(index)?.["out"]?.digest as Digest;
    named.add(digest);
    if (lost.has(digest)) continue;
    const text = await readFile(store.objects.path(digest), "utf8");
    for (const image of gone) if (text.includes(image)) named.add(image);
  }
  return new Set(gone.filter((digest) => !named.has(digest)));
}

type Harm = "flip" | "delete" | "truncate" | "append";

async function harm(digest: Digest, how: Harm, at: number): Promise<void> {
  const path = store.objects.path(digest);
  if (how === "delete") return rm(path);
  const bytes = await readFile(path);
  const place = Math.floor(at * bytes.length);
  const harmed = {
    flip: () => Buffer.from(bytes.map((byte, i) => (i === place ? byte ^ (1 << (place % 8)) : byte))),
    truncate: () => bytes.subarray(0, place),
    append: () => Buffer.concat([bytes, Buffer.from("\n")]),
  }[how]();
  await chmod(path, 0o644);
  await writeFile(path, harmed);
}

async function inIndex(change: (index: Index) => Promise<unknown>): Promise<void> {
  const { root } = store;
  await store.close();
  const index = openIndex(join(root, "index"), root, false);
  await change(index);
  await index.close();
  const opened = await openStore({ root });
  if (!opened.ok) throw new Error(opened.error.message);
  store = opened.value;
}

describe("a store in which objects were damaged at random", { timeout: diskTime }, () => {
  const harms = fc.uniqueArray(
    fc.record({
      object: fc.nat(),
      how: fc.constantFrom<Harm>("flip", "delete", "truncate", "append"),
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
    }),
    { minLength: 1, maxLength: 6 },
  );

  it("is verified to the object, repaired to the result, and whole after one run", async () => {
    await fc.assert(
      fc.asyncProperty(harms, async (chosen) => {
        await remove();
        ({ store, remove } = await temporaryStore());
        const before = await executed();
        expect(await store.verify()).toEqual([]);
        const all = await digests();
        const harmed = new Map(
          chosen.map(({ object, ...rest }) => [all[object % all.length] as Digest, rest]),
        );
        const lost = new Set(harmed.keys());
        const expected = await losers(before, lost);
        const deleted = [...lost].filter((digest) => harmed.get(digest)?.how === "delete");
        const hidden = await mentionedOnlyIn(before, lost, deleted);
        const roster = store.runRecord(run)?.roster as Digest;
        for (const [digest, { how, at }] of harmed) await harm(digest, how, at);

        const problems = await store.verify();
        const reported = new Set([...lost].filter((digest) => !hidden.has(digest)));
        expect(new Set(problems.map(({ subject }) => subject))).toEqual(reported);
        for (const { subject, kind } of problems) {
          const isGone = deleted.includes(subject as Digest);
          expect(kind).toBe(isGone ? "missing-object" : "wrong-bytes");
        }
        const { dropped, steps, left } = await store.repair(problems);
        expect(steps).toEqual(expected.map((id) => `p: ${id}`).toSorted());
        expect(dropped.results).toBe(expected.length);
        expect(dropped.objects).toBe(lost.size - deleted.length);
        expect(left).toEqual([]);
        expect(await store.verify()).toEqual([]);
        expect(store.runRecord(run) === undefined).toBe(lost.has(roster));

        const after = await executed();
        expect(after.executed.toSorted()).toEqual(expected);
        expect(outputsOf(after)).toEqual(outputsOf(before));
        expect(await digests()).toEqual(all);
        expect(await store.verify()).toEqual([]);
      }),
      { numRuns: 12 },
    );
  });
});

describe("an index in which entries were damaged", () => {
  it("is verified to the entry, and repaired", async () => {
    const before = await executed();
    const roster = rosterOf(before);
    const keys = new Map(roster.map(([step, key]) => [step as string, key]));
    const key = (step: string): Key => keys.get(step) as Key;
    const other = "f".repeat(64) as Key;
    await store.setTag({ name: "t", pipeline: "p", run }, roster);
    await inIndex(async (index) => {
      const record = index.results.get(key("ab"));
      const swapped = index.results.get(key("c"));
      if (!record || !swapped) throw new Error("no records");
      // A parameter that changed under its key, a record under another's key, text that is no record.
      await index.results.put(key("ab"), { ...record, fingerprint: { ...record.fingerprint, version: 2 } });
      await index.results.put(key("b"), swapped);
      await index.results.put(key("a"), "nonsense" as never);
      await index.pointers.put("lost", [other, run, "p", "lost", ""]);
      await index.memo.put("item", [{ digest: digestBytes("gone"), size: 4 }, 0]);
      await index.memo.put("text", [{ caption: "kept" }, 0]);
      await index.runs.put("20260102-000000-0000", ["p", "/p.yaml", 0, true, digestBytes("no roster")]);
      await index.tags.put("lost", [0, "p", "", digestBytes("no roster")]);
      await index.locators.put(digestBytes("x"), [[77, "a.png"]]);
      await index.registered.put("list", [77]);
      await index.stats.put("/d/a", 5 as never);
    });
    const problems = await store.verify();
    expect(problems.map(({ kind, subject }) => `${kind} ${subject}`).toSorted()).toEqual(
      [
        `wrong-record ${key("ab")}`,
        `wrong-record ${key("b")}`,
        `wrong-record ${key("a")}`,
        `dangling-pointer ${other}`,
        `missing-object ${digestBytes("gone")}`,
        `missing-object ${digestBytes("no roster")}`,
        `dangling-place ${digestBytes("x")}`,
        "dangling-place list",
        "unreadable /d/a",
      ].toSorted(),
    );
    const { steps, dropped } = await store.repair(problems);
    expect(steps).toEqual(["p: a", "p: ab", "p: b", "p: lost"]);
    expect(dropped).toMatchObject({ results: 3, objects: 0 });
    expect(store.memoGet(["item", "text"])).toEqual([undefined, { caption: "kept" }]);
    expect(store.tags().map(({ name }) => name)).toEqual(["t"]);
    // The tag waits for the run that makes its results again.
    const left = await store.verify();
    expect(left.map(({ kind, subject }) => `${kind} ${subject}`)).toEqual(["dangling-tag t"]);
    const after = await executed();
    expect(after.executed.toSorted()).toEqual(["a", "ab", "b"]);
    expect(outputsOf(after)).toEqual(outputsOf(before));
    expect(await store.verify()).toEqual([]);
  });

  it("says so when a result cannot be read, and how to be rid of it", async () => {
    const before = await executed();
    const [, key] = rosterOf(before)[0] as RosterEntry;
    await inIndex(async (index) => {
      // Bytes of the same table that are no JSON.
      const raw = index.results as unknown as { putSync(key: string, value: Buffer): boolean };
      raw.putSync(key, Buffer.from("{"));
    });
    const problems = await store.verify();
    expect(problems).toMatchObject([{ kind: "wrong-record", subject: key, neededBy: ["p: a"] }]);
    await store.repair(problems);
    expect(await store.verify()).toEqual([]);
    expect((await executed()).executed).toEqual(["a"]);
  });
});

describe("a checkpoint in which a bit flipped", () => {
  it("is found, dropped, and never gone on from", async () => {
    const folder = store.checkpointFolder("a".repeat(64));
    const signal = new AbortController().signal;
    const checkpoint = openCheckpoint({ folder, variant: "cpu", minutes: 0, signal });
    const save = (): Promise<void> =>
      checkpoint.save(async (into) => {
        await mkdir(join(into, "deep"));
        await writeFile(join(into, "deep", "weights.bin"), "weights");
      });
    await save();
    expect(await store.verify()).toEqual([]);
    const saved = (await checkpoint.restore()) as string;
    expect(await readFile(join(saved, "deep", "weights.bin"), "utf8")).toBe("weights");
    await writeFile(join(saved, "deep", "weights.bin"), "weightS");
    const problems = await store.verify();
    expect(problems).toMatchObject([{ kind: "damaged-checkpoint", drops: [{ what: "checkpoint" }] }]);
    expect((await store.repair(problems)).left).toEqual([]);
    expect(await store.verify()).toEqual([]);
    await save();
    const again = (await checkpoint.restore()) as string;
    await rm(join(again, "deep", "weights.bin"));
    expect(await checkpoint.restore()).toBeUndefined();
  });
});

describe("a repair", () => {
  it("drops nothing while another process uses the store, and nothing that is good again", async () => {
    await executed();
    const [digest] = (await digests()) as [Digest];
    const bytes = await readFile(store.objects.path(digest));
    await harm(digest, "flip", 0.5);
    const problems = await store.verify();
    expect(problems).toHaveLength(1);
    const other = await openStore({ root: store.root });
    if (!other.ok) throw new Error(other.error.message);
    await expect(store.repair(problems)).rejects.toThrow("another ranflow uses the store");
    expect(store.objects.has(digest)).toBe(true);
    await other.value.close();
    await writeFile(store.objects.path(digest), bytes);
    expect(await store.repair(problems)).toMatchObject({
      dropped: { results: 0, objects: 0 },
      left: problems,
    });
    expect((await executed()).executed).toEqual([]);
  });

  it("leaves a list of external files to the run that reads them", async () => {
    await executed();
    const list = await store.objects.putBytes(Buffer.from("[]"));
    const fingerprint = {
      type: "t",
      version: 1,
      params: {},
      inputs: {},
      external: { digest: list.digest, count: 0 },
    };
    const { keyOf } = await import("../../cache/key.ts");
    const key = keyOf(fingerprint);
    const provenance = { startedAt: 0, finishedAt: 1, runId: run, host: "h", ranflow: "0", node: "n" };
    await store.commit({ key, fingerprint, outputs: {}, provenance });
    await rm(store.objects.path(list.digest));
    const problems = await store.verify();
    expect(problems).toMatchObject([{ kind: "missing-object", subject: list.digest, drops: [] }]);
    const { left } = await store.repair(problems);
    expect(left).toEqual(problems);
    expect(store.result(key)).toBeDefined();
  });
});
