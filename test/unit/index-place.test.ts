import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { placeIndex } from "../../cache/index-place.ts";
import { keyOf } from "../../cache/key.ts";
import { openStore } from "../../cache/store.ts";
import { resultOf } from "./plan-rig.ts";

let folder: string;
let root: string;
let disk: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-index-"));
  root = join(folder, "shared", "store");
  disk = join(folder, "disk", "index");
});
afterEach(() => rm(folder, { recursive: true }));

async function opened(): Promise<Extract<Awaited<ReturnType<typeof openStore>>, { ok: true }>["value"]> {
  const store = await openStore({ root });
  if (!store.ok) throw new Error(store.error.message);
  return store.value;
}

const message = async (placing: ReturnType<typeof placeIndex>): Promise<string> => {
  const placed = await placing;
  return placed.ok ? "" : placed.error.message;
};

describe("the index of a store on a shared folder", () => {
  it("lies on a disk of this machine, where every later command finds it", async () => {
    expect(await message(placeIndex(root, disk))).toBe("");
    const store = await opened();
    const fingerprint = { type: "t.t", version: 1, params: {}, inputs: {} };
    const result = resultOf(keyOf(fingerprint), fingerprint, {});
    await store.commit(result);
    await store.close();
    expect(existsSync(join(disk, "data.mdb"))).toBe(true);
    expect(await message(placeIndex(root, disk))).toBe("");
    const again = await opened();
    expect(again.result(result.key)).toEqual(result);
    await again.close();
  });

  it("is said to be on another machine where it is not here", async () => {
    await placeIndex(root, disk);
    await (await opened()).close();
    await rename(join(folder, "disk"), join(folder, "away"));
    const store = await openStore({ root });
    expect(store.ok ? "" : store.error.message).toBe(
      `the index of the store ${root} lies in ${disk}, which is not on this machine`,
    );
  });

  it("is not put over another one, nor is one left behind", async () => {
    await (await opened()).close();
    expect(await message(placeIndex(root, disk))).toContain("has its index within it already");
    expect(existsSync(disk)).toBe(false);
    root = join(folder, "other");
    await mkdir(disk, { recursive: true });
    await writeFile(join(disk, "data.mdb"), "");
    expect(await message(placeIndex(root, disk))).toContain("is not empty");
    expect(await readdir(disk)).toEqual(["data.mdb"]);
  });
});
