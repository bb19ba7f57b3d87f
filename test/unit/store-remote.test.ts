import { existsSync, readFileSync, statSync } from "node:fs";
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { canonicalJson } from "../../cache/canonical.ts";
import { digestBytes } from "../../cache/hash.ts";
import { keyOf } from "../../cache/key.ts";
import { makeRemote, openRemote } from "../../cache/remote/folder.ts";
import type { Remote } from "../../cache/remote/folder.ts";
import { pointToPulled, pullResults } from "../../cache/remote/pull.ts";
import type { PullReport } from "../../cache/remote/pull.ts";
import { pushResults } from "../../cache/remote/push.ts";
import { putRef, readRef, readRefs } from "../../cache/remote/refs.ts";
import { withRemote } from "../../cache/remote/with-remote.ts";
import { openStore } from "../../cache/store.ts";
import type { RosterEntry, Store } from "../../cache/types.ts";
import { objectFiles } from "../../cache/walk.ts";
import type { ArtifactRef } from "../../engine/model/artifact.ts";
import type { Fingerprint } from "../../engine/model/fingerprint.ts";
import type { Digest, Key, RunId, StepId } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import { execute, gridOf, resultOf } from "./plan-rig.ts";
import type { Executed } from "./plan-rig.ts";

const run = "20260101-000000-0000" as RunId;
const noData = { withData: false };

let folder: string;
let shared: string;
const stores: Store[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-remote-"));
  shared = join(folder, "shared");
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await rm(folder, { recursive: true, force: true });
});

async function storeNamed(name: string, readOnly = false): Promise<Store> {
  const opened = await openStore({ root: join(folder, name), readOnly });
  if (!opened.ok) throw new Error(opened.error.message);
  stores.push(opened.value);
  return opened.value;
}

async function file(store: Store, text: string): Promise<ArtifactRef> {
  return { ...(await store.objects.putBytes(Buffer.from(text))), kind: "file" };
}

async function commit(
  store: Store,
  outputs: Readonly<Record<string, ArtifactRef>>,
  rest: Partial<Fingerprint> = {},
): Promise<StoredResult> {
  const fingerprint = { type: "t.t", version: 1, params: {}, inputs: {}, ...rest };
  return store.commit(resultOf(keyOf(fingerprint), fingerprint, outputs));
}

async function digestsIn(store: Store): Promise<readonly Digest[]> {
  const digests: Digest[] = [];
  for await (const { digest } of objectFiles(store.root)) digests.push(digest);
  return digests;
}

/** A store with a folder, a text that mentions an image, and a step that read two external files. */
async function filled(store: Store): Promise<{ readonly keys: readonly Key[]; readonly data: string }> {
  const data = join(folder, "data");
  await mkdir(data);
  const listed: (readonly [string, Digest, number])[] = [];
  for (const name of ["a.png", "b.png"]) {
    await writeFile(join(data, name), `bytes of ${name}`);
    listed.push([name, digestBytes(`bytes of ${name}`), `bytes of ${name}`.length]);
  }
  const list = await store.objects.putBytes(Buffer.from(canonicalJson(listed as never)));
  await store.registerExternal("letters", data, list.digest);
  const image = await store.objects.putBytes(Buffer.from("\x89PNG\0 attacked"));
  const pairs = [
    { id: "1", image },
    { id: "2", image: { digest: listed[0]?.[1], size: 14 } },
  ];
  const text = await file(store, pairs.map((pair) => JSON.stringify(pair)).join("\n"));
  await mkdir(join(folder, "out", "deep"), { recursive: true });
  await writeFile(join(folder, "out", "deep", "model.bin"), "weights");
  const out = await store.objects.putArtifact(join(folder, "out"), "folder");
  const external = { digest: list.digest, count: 2 };
  const results = [
    await commit(store, { pairs: text }, { params: { n: 1 }, external }),
    await commit(store, { model: out }, { params: { n: 2 } }),
  ];
  return { keys: results.map(({ key }) => key), data };
}

async function pulled(store: Store, keys: readonly Key[], options = noData): Promise<PullReport> {
  return pullResults({ store, remote: openRemote(shared) }, keys, options);
}

describe("push and pull", () => {
  it("bring whole results to another store, and copy nothing twice", async () => {
    const [ours, theirs] = [await storeNamed("ours"), await storeNamed("theirs")];
    const { keys } = await filled(ours);
    const remote = await makeRemote(shared);
    const first = await pushResults({ store: ours, remote }, keys, noData);
    expect(first).toMatchObject({ results: 2, there: 0, incomplete: 0, objects: 5 });
    const again = await pushResults({ store: ours, remote: openRemote(shared) }, keys, noData);
    expect(again).toMatchObject({ results: 0, there: 2, objects: 0, bytes: 0 });

    expect(await pulled(theirs, keys)).toMatchObject({ results: 2, missing: 0, objects: 5, refused: [] });
    expect(await digestsIn(theirs)).toEqual(await digestsIn(ours));
    for (const key of keys) {
      const { provenance, ...rest } = theirs.result(key) as StoredResult;
      expect(rest).toEqual({ ...ours.result(key), provenance: undefined } satisfies object);
      expect(provenance.pulledAt).toBeGreaterThan(0);
    }
    expect(await theirs.verify()).toEqual([]);
    expect(await pulled(theirs, keys)).toMatchObject({ results: 0, here: 2, objects: 0 });
    // Young by when they came, however long ago they were made.
    expect((await theirs.gc({ days: 1, dryRun: false })).keptBy.young).toBe(2);
  });

  it("say which dataset is not here, and bring its files with --with-data", async () => {
    const [ours, theirs] = [await storeNamed("ours"), await storeNamed("theirs")];
    const { keys, data } = await filled(ours);
    const digest = digestBytes("bytes of a.png");
    await pushResults({ store: ours, remote: await makeRemote(shared) }, keys, noData);
    await pulled(theirs, keys);
    expect(theirs.locate([digest])).toEqual([
      { kind: "external", dataset: "letters", root: "", name: "a.png", isSeen: false },
    ]);
    const withData = { withData: true };
    await writeFile(join(data, "b.png"), "changed since");
    const report = await pushResults({ store: ours, remote: openRemote(shared) }, keys, withData);
    expect(report).toMatchObject({ results: 0, there: 2, objects: 1, changed: ["letters: b.png"] });
    expect(await pulled(theirs, keys, withData)).toMatchObject({ results: 0, here: 2, objects: 1 });
    expect(theirs.locate([digest])).toEqual([{ kind: "object" }]);
    expect(await theirs.verify()).toEqual([]);
    // Who does not ask for the data does not get it, though the folder has it and a text mentions it.
    const others = await storeNamed("others");
    expect(await pulled(others, keys)).toMatchObject({ results: 2, missing: 0 });
    expect(others.objects.has(digest)).toBe(false);
    expect(await others.verify()).toEqual([]);
  });

  it("may be done by many at once", async () => {
    const names = ["a", "b", "c"];
    const all = await Promise.all(names.map((name) => storeNamed(name)));
    const keys: Key[] = [];
    for (const [i, store] of all.entries()) {
      for (const n of [0, 1, 2 + i]) {
        keys.push((await commit(store, { out: await file(store, `text ${n}`) }, { params: { n } })).key);
      }
    }
    const reports = await Promise.all(
      all.map(async (store) =>
        pushResults({ store, remote: await makeRemote(shared) }, store.keys(), noData),
      ),
    );
    expect(reports.reduce((sum, { results }) => sum + results, 0)).toBe(5);
    expect(await readdir(join(shared, "tmp"))).toEqual([]);
    const theirs = await storeNamed("theirs");
    expect(await pulled(theirs, keys)).toMatchObject({ results: 5, refused: [], missing: 0 });
    expect(await theirs.verify()).toEqual([]);
  });

  it("leave out results whose bytes are gone, and take bytes that were left behind", async () => {
    const [ours, theirs] = [await storeNamed("ours"), await storeNamed("theirs")];
    const result = await commit(ours, { out: await file(ours, "text") });
    const digest = result.outputs["out"]?.digest as Digest;
    await rename(ours.objects.path(digest), join(folder, "aside"));
    const remote = await makeRemote(shared);
    expect(await pushResults({ store: ours, remote }, [result.key], noData)).toMatchObject({ incomplete: 1 });
    expect(await pulled(theirs, [result.key])).toMatchObject({ results: 0, missing: 1 });
    await rename(join(folder, "aside"), ours.objects.path(digest));
    await pushResults({ store: ours, remote }, [result.key], noData);
    await theirs.adopt([{ result, away: true }], shared);
    expect(await theirs.verify()).toEqual([]);
    expect(await pulled(theirs, [result.key])).toMatchObject({ results: 1, objects: 1 });
    expect(theirs.objects.has(digest)).toBe(true);
  });

  it("carry the names of pipelines and tags", async () => {
    const ours = await storeNamed("ours");
    const { key } = await commit(ours, { out: await file(ours, "text") });
    const entries: readonly RosterEntry[] = [["s[a=b]" as StepId, key]];
    const remote = await makeRemote(shared);
    await putRef(remote, { kind: "pipelines", name: "../p", pipeline: "../p", run, entries });
    await putRef(remote, { kind: "tags", name: "v1", pipeline: "p", entries });
    expect(await readRefs(remote, "pipelines")).toEqual([
      { kind: "pipelines", name: "../p", pipeline: "../p", run, entries },
    ]);
    expect(await readRef(remote, "tags", "v1")).toEqual({ kind: "tags", name: "v1", pipeline: "p", entries });
    expect(await readRef(remote, "tags", "v2")).toBeUndefined();
    expect((await readdir(folder)).toSorted()).toEqual(["ours", "shared"]);
    await pushResults({ store: ours, remote }, [key], noData);
    const theirs = await storeNamed("theirs");
    await pulled(theirs, [key]);
    await pointToPulled(theirs, "p", entries);
    expect(theirs.pointer("p", "s[a=b]" as StepId)?.key).toBe(key);
  });

  it("let the group write where the folder lets it", async () => {
    const ours = await storeNamed("ours");
    const { key } = await commit(ours, { out: await file(ours, "text") });
    await mkdir(shared);
    await chmod(shared, 0o2775);
    await pushResults({ store: ours, remote: await makeRemote(shared) }, [key], noData);
    const folders = ["results", `results/${key.slice(0, 2)}`, "objects", "tmp"];
    for (const name of folders) expect(statSync(join(shared, name)).mode & 0o7777, name).toBe(0o2775);
  });
});

describe("what lies in a shared folder", () => {
  let ours: Store;
  let theirs: Store;
  let remote: Remote;
  let result: StoredResult;
  let record: string;
  beforeEach(async () => {
    [ours, theirs] = [await storeNamed("ours"), await storeNamed("theirs")];
    await mkdir(join(folder, "out"));
    await writeFile(join(folder, "out", "model.bin"), "weights");
    result = await commit(ours, { model: await ours.objects.putArtifact(join(folder, "out"), "folder") });
    remote = await makeRemote(shared);
    await pushResults({ store: ours, remote }, [result.key], noData);
    record = join(shared, "results", result.key.slice(0, 2), `${result.key.slice(2)}.json`);
  });

  /** Nothing came in, and a message says which file is at fault. */
  async function refused(why: string, key: Key = result.key): Promise<void> {
    const report = await pulled(theirs, [key]);
    expect(report.results).toBe(0);
    expect(report.refused).toEqual([expect.stringContaining(why)]);
    expect(theirs.result(key)).toBeUndefined();
    expect(await theirs.verify()).toEqual([]);
    expect(await readdir(join(theirs.root, "tmp"))).toEqual([]);
    // The same through a run's eyes: no result, and a warning.
    const seen = withRemote(theirs, shared);
    const found = seen.result(key);
    const complete = await Promise.all(
      Object.values(found?.outputs ?? {}).map((out) => seen.objects.complete(out)),
    );
    expect(complete.every(Boolean) && complete.length > 0).toBe(false);
    expect(seen.warnings().join()).toContain(why);
  }

  async function rewritten(change: (record: { result: StoredResult }) => unknown): Promise<void> {
    const value = JSON.parse(await readFile(record, "utf8")) as { result: StoredResult };
    await writeFile(record, JSON.stringify(change(value)));
  }

  async function blobPath(): Promise<string> {
    const { files } = await ours.objects.manifest(result.outputs["model"]?.digest as Digest);
    return remote.objectPath(Object.values(files)[0]?.digest as Digest);
  }

  it("is refused where bytes are torn or changed", async () => {
    const path = await blobPath();
    await chmod(path, 0o644);
    await writeFile(path, "weight");
    await refused("holds other bytes");
  });

  it("is refused where an object is a link, for that may lead anywhere", async () => {
    const path = await blobPath();
    await rm(path);
    await writeFile(join(folder, "secret"), "weights");
    await symlink(join(folder, "secret"), path);
    await refused("is not a regular file");
  });

  it("is refused where a record is another fingerprint's", async () => {
    await rewritten(({ result: { fingerprint, ...rest } }) => ({
      result: { ...rest, fingerprint: { ...fingerprint, version: 2 } },
    }));
    await refused("another key belongs to");
  });

  it("is refused where a record is torn, empty, or no record", async () => {
    const whole = await readFile(record, "utf8");
    for (const text of [whole.slice(0, -20), "", "[]", "null", '{"result":7}', '{"result":{"key":"x"}}']) {
      await writeFile(record, text);
      await refused("is not taken");
    }
  });

  it("is refused where a record is far too large, or nested far too deep", async () => {
    await truncate(record, 17 * 2 ** 20);
    await refused("too many");
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
    const { key, outputs, provenance } = result;
    const rest = JSON.stringify({ key, outputs, provenance }).slice(1, -1);
    await writeFile(
      record,
      `{"result":{${rest},"fingerprint":{"type":"t","version":1,"params":{"deep":${deep}},"inputs":{}}}}`,
    );
    await refused("another key belongs to");
  });

  it("is refused where names lead out of their folder", async () => {
    const evil = { files: { "../../../evil": { digest: digestBytes("weights"), size: 7 } } };
    const text = canonicalJson(evil);
    const path = remote.objectPath(digestBytes(text));
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, text);
    const model: ArtifactRef = { digest: digestBytes(text), kind: "folder", size: 7 };
    await rewritten((value) => ({ result: { ...value.result, outputs: { model } } }));
    await refused("is not the manifest of a folder");

    await rewritten((value) => ({ result: { ...value.result, outputs: { "../../evil": model } } }));
    await refused("outputs that cannot be read");
    expect((await readdir(folder)).toSorted()).toEqual(["ours", "shared", "theirs"]);
  });

  it("is refused where a reference is none", async () => {
    await putRef(remote, { kind: "tags", name: "v1", pipeline: "p", entries: [] });
    const [name] = await readdir(join(shared, "refs", "tags"));
    const path = join(shared, "refs", "tags", name as string);
    const sound = await readFile(path, "utf8");
    for (const text of [
      "",
      "{}\n",
      sound.replace("v1", "../v1"),
      `${sound}short line\n`,
      sound.replace("v1", "v2"),
    ]) {
      await writeFile(path, text);
      await expect(readRefs(remote, "tags")).rejects.toThrow("is no list of results");
    }
  });

  it("is told from a store, from another folder, and from a newer format", async () => {
    expect(() => openRemote(ours.root)).toThrow("is not a folder that results were pushed to");
    await expect(makeRemote(ours.root)).rejects.toThrow("is not a folder that results were pushed to");
    await expect(makeRemote(folder)).rejects.toThrow("is not a folder that results were pushed to");
    expect(() => openRemote(join(folder, "nowhere"))).toThrow("there is no shared folder");
    await writeFile(join(shared, "format.json"), '{"format":2,"kind":"remote"}');
    expect(() => openRemote(shared)).toThrow("newer ranflow");
  });
});

describe("a store over a shared folder", () => {
  const grid = (n: number) =>
    gridOf([
      { id: "a" },
      { id: "b", in: { a: "a" }, params: { n: 1 } },
      { id: "c", in: { a: "b" }, params: { n: 2 } },
      { id: "d", in: { a: "b" }, params: { n } },
    ]);

  async function ran(store: Store, n = 3): Promise<Executed> {
    const steps = grid(n);
    const done = await execute(steps, store);
    const entries = steps.steps.map(({ id, index }) => [id, done.planner.key(index) as Key] as const);
    await store.recordRun({ run, pipeline: "p", path: "/p.yaml", whole: true, profiles: [] }, entries);
    return done;
  }

  it("executes nothing that somebody else has executed, and shares what it executes", async () => {
    await makeRemote(shared);
    const first = withRemote(await storeNamed("ours"), shared);
    expect((await ran(first)).executed).toEqual(["a", "b", "c", "d"]);
    await first.close();
    expect(openRemote(shared).keys()).toHaveLength(4);

    const local = await storeNamed("theirs");
    const second = withRemote(local, shared);
    expect((await ran(second)).executed).toEqual([]);
    expect((await ran(second, 4)).executed).toEqual(["d"]);
    await second.close();
    expect(openRemote(shared).keys()).toHaveLength(5);
    expect(second.warnings()).toEqual([]);

    const again = await storeNamed("theirs");
    expect(again.keys()).toHaveLength(5);
    expect(await again.verify()).toEqual([]);
  });

  it("makes an empty folder a shared one, and leaves shares of a step's items out of it", async () => {
    await mkdir(shared);
    const store = withRemote(await storeNamed("ours"), shared);
    await commit(store, {}, { shard: { index: 0, count: 2 } });
    const { key } = await commit(store, { out: await file(store, "out") });
    await store.close();
    expect(store.warnings()).toEqual([]);
    expect(openRemote(shared).keys()).toEqual([key]);
  });

  it("leaves bytes where they are until they are read", async () => {
    const large = "x".repeat(100_000);
    await makeRemote(shared);
    const work = { work: ({ id }: { readonly id: string }): string => `${id} ${large}` };
    const first = withRemote(await storeNamed("ours"), shared);
    await execute(grid(3), first, work);
    await first.close();
    const local = await storeNamed("theirs");
    const second = withRemote(local, shared);
    await execute(grid(3), second, work);
    // The last steps are what a user looks at.
    const has = (id: string): boolean => local.objects.has(digestBytes(`${id} ${large}`));
    expect(["a", "b", "c", "d"].filter(has)).toEqual(["c", "d"]);
    expect(await local.verify()).toEqual([]);
    expect((await execute(grid(4), second, work)).executed).toEqual(["d"]);
    expect(["a", "b", "c", "d"].filter(has)).toEqual(["b", "c", "d"]);
    await second.close();
  });

  it("takes a text that mentions images together with them, or not at all", async () => {
    const ours = await storeNamed("ours");
    const { keys } = await filled(ours);
    const metrics = await commit(ours, { metrics: await file(ours, '{"auc":0.5}') }, { params: { n: 3 } });
    const all = [...keys, metrics.key];
    await pushResults({ store: ours, remote: await makeRemote(shared) }, all, noData);
    const local = await storeNamed("theirs");
    const store = withRemote(local, shared);
    const [pairs, , measured] = all.map((key) => store.result(key)?.outputs);
    const entries = all.map((key, i) => [`s${i}` as StepId, key] as const);
    await store.recordRun({ run, pipeline: "p", path: "/p.yaml", whole: true, profiles: [] }, entries);
    const image = digestBytes("\x89PNG\0 attacked");
    const text = pairs?.["pairs"] as ArtifactRef;
    expect(local.objects.has(measured?.["metrics"]?.digest as Digest)).toBe(true);
    expect([text.digest, image].map((digest) => local.objects.has(digest))).toEqual([false, false]);
    expect(await local.verify()).toEqual([]);
    expect(await store.objects.complete(text)).toBe(true);
    expect([text.digest, image].map((digest) => local.objects.has(digest))).toEqual([true, true]);
    expect(await local.verify()).toEqual([]);
    await store.close();
  });

  it("makes again what the folder has lost or spoilt", async () => {
    await makeRemote(shared);
    const work = { work: ({ id }: { readonly id: string }): string => `${id} ${"x".repeat(100_000)}` };
    const first = withRemote(await storeNamed("ours"), shared);
    const before = await execute(grid(3), first, work);
    await first.close();
    const spoilt = openRemote(shared).objectPath(before.planner.outputs(1)?.["out"]?.digest as Digest);
    await chmod(spoilt, 0o644);
    await writeFile(spoilt, "spoilt");
    const second = withRemote(await storeNamed("theirs"), shared);
    const after = await execute(grid(4), second, work);
    expect(after.executed).toEqual(["b", "d"]);
    expect(after.planner.outputs(1)).toEqual(before.planner.outputs(1));
    expect(second.warnings()).toEqual([expect.stringContaining("holds other bytes")]);
    await second.close();
  });

  it("does not touch the folder when everything is here", async () => {
    await makeRemote(shared);
    const first = withRemote(await storeNamed("ours"), shared);
    await ran(first);
    await first.close();
    await rm(shared, { recursive: true });
    const second = withRemote(await storeNamed("ours"), shared);
    expect((await ran(second)).executed).toEqual([]);
    await second.close();
    expect(second.warnings()).toEqual([]);
    expect(existsSync(shared)).toBe(false);
  });

  it("goes on when the folder cannot be written, and says so", async () => {
    await makeRemote(shared);
    const store = withRemote(await storeNamed("ours"), shared);
    expect(store.result("0".repeat(64) as Key)).toBeUndefined();
    // In the place of a folder there is a file: every push fails, whoever the user is.
    await rm(join(shared, "tmp"), { recursive: true });
    await writeFile(join(shared, "tmp"), "in the way");
    expect((await ran(store)).executed).toHaveLength(4);
    await store.close();
    expect(store.warnings().join("\n")).toContain("4 results were not copied");
    expect(store.warnings()[0]).toContain(`cannot write to the shared folder ${shared}`);
  });

  it("brings images when a step asks where they are, and nothing to a store that is read only", async () => {
    const ours = await storeNamed("ours");
    const { keys } = await filled(ours);
    await pushResults({ store: ours, remote: await makeRemote(shared) }, keys, noData);
    const image = digestBytes("\x89PNG\0 attacked");
    await (await storeNamed("theirs")).close();
    const reader = withRemote(await storeNamed("theirs", true), shared);
    const found = reader.result(keys[0] as Key);
    expect(found?.key).toBe(keys[0]);
    expect(await reader.objects.complete(found?.outputs["pairs"] as ArtifactRef)).toBe(true);
    await reader.fetch([image]);
    expect(await digestsIn(reader)).toEqual([]);
    await reader.close();
    const writer = withRemote(await storeNamed("theirs"), shared);
    await writer.fetch([image, digestBytes("nowhere")]);
    expect(writer.locate([image])).toEqual([{ kind: "object" }]);
    await writer.close();
  });

  it("copied elsewhere is still one: rsync and a disk will do", async () => {
    const ours = await storeNamed("ours");
    const { key } = await commit(ours, { out: await file(ours, "text") });
    await pushResults({ store: ours, remote: await makeRemote(shared) }, [key], noData);
    await cp(shared, join(folder, "copy"), { recursive: true });
    const theirs = await storeNamed("theirs");
    const remote = openRemote(join(folder, "copy"));
    expect(await pullResults({ store: theirs, remote }, remote.keys(), noData)).toMatchObject({ results: 1 });
    expect(
      readFileSync(theirs.objects.path(theirs.result(key)?.outputs["out"]?.digest as Digest), "utf8"),
    ).toBe("text");
  });
});
