import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStore } from "../../cache/store.ts";
import { StoreError } from "../../cache/errors.ts";
import { makeFolder } from "../../cache/make-folder.ts";
import { keyOf } from "../../cache/key.ts";
import type { Store } from "../../cache/types.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import { resultOf } from "./plan-rig.ts";

const base = mkdtempSync(join(tmpdir(), "ranflow-disk-"));
const mounted = join(base, "disk");
mkdirSync(mounted);

function mount(...args: readonly string[]): boolean {
  return spawnSync("mount", [...args, mounted], { stdio: "ignore" }).status === 0;
}
function unmount(): void {
  spawnSync("umount", ["-l", mounted], { stdio: "ignore" });
}

const canMount = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs");
if (canMount) unmount();
const isRoot = process.getuid?.() === 0;

afterAll(() => rmSync(base, { recursive: true, force: true }));

async function opened(root: string): Promise<Store> {
  const result = await openStore({ root });
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

function numbered(i: number, padding = 0): StoredResult {
  const fingerprint = { type: "t.t", version: 1, params: { i, pad: "x".repeat(padding) }, inputs: {} };
  return resultOf(keyOf(fingerprint), fingerprint, {}, Date.now());
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe.skipIf(!canMount)("a disk that is full (skipped where no tmpfs can be mounted)", () => {
  beforeEach(() => void mount("-t", "tmpfs", "-o", "size=8m", "tmpfs"));
  afterEach(unmount);

  it("fails each write with a clear error, keeps what was committed, and goes on when there is room", async () => {
    const store = await opened(join(mounted, "store"));
    let failure: unknown;
    let count = 0;
    while ((failure = await failureOf(store.commit(numbered(count, 3_000)))) === undefined) count++;
    expect(failure).toBeInstanceOf(StoreError);
    expect(failure).toMatchObject({ code: "no-space", hint: expect.stringContaining("gc") as string });
    for (let i = 0; i < 5; i++) {
      expect(await failureOf(store.commit(numbered(count + i, 3_000)))).toMatchObject({ code: "no-space" });
    }
    expect(store.result(numbered(count, 3_000).key)).toBeUndefined();
    for (let i = 0; i < count; i++) expect(store.result(numbered(i, 3_000).key)).toBeDefined();
    // Leases come and go without new space.
    for (let i = 0; i < 50; i++) (await store.lease(numbered(i).key, new AbortController().signal))();
    expect((await store.gc({ days: -1, dryRun: false })).removed.results).toBe(count);
    await store.close();
    const again = await opened(join(mounted, "store"));
    expect(again.result(numbered(0, 3_000).key)).toBeUndefined();
    await again.close();
  });

  it("leaves no half object, and takes it when there is room", async () => {
    const store = await opened(join(mounted, "store"));
    await store.commit(numbered(0));
    const ballast = join(mounted, "ballast");
    execFileSync("sh", ["-c", `dd if=/dev/zero of=${ballast} bs=64k 2>/dev/null || true`]);
    const bytes = Buffer.alloc(200_000, 7);
    expect(await failureOf(store.objects.putBytes(bytes))).toMatchObject({ code: "no-space" });
    expect(readdirSync(join(mounted, "store", "tmp"))).toEqual([]);
    // There is room in the index for small things although the disk is full.
    await store.commit(numbered(1));
    rmSync(ballast);
    const { digest } = await store.objects.putBytes(bytes);
    expect(store.objects.has(digest)).toBe(true);
    expect(await store.verify()).toEqual([]);
    await store.close();
  });
});

describe.skipIf(!canMount)("a read-only file system (skipped where none can be mounted)", () => {
  afterEach(unmount);

  it("can be read and planned against, and says so when written to", async () => {
    const source = join(base, "source");
    const store = await opened(source);
    await store.commit(numbered(0));
    await store.close();
    expect(mount("--bind", source)).toBe(true);
    execFileSync("mount", ["-o", "remount,ro,bind", mounted]);
    const reader = await opened(mounted);
    expect(reader.writable).toBe(false);
    expect(reader.result(numbered(0).key)).toBeDefined();
    expect(await failureOf(reader.commit(numbered(1)))).toMatchObject({ code: "read-only" });
    expect(await failureOf(reader.objects.putBytes(Buffer.from("x")))).toMatchObject({ code: "read-only" });
    await reader.close();
    expect(await failureOf(makeFolder(join(mounted, "new", "deep")))).toMatchObject({ code: "EROFS" });
    expect(await openStore({ root: join(mounted, "new", "store") })).toMatchObject({
      ok: false,
      error: { code: "store-unusable", message: expect.stringContaining("read-only") as string },
    });
  });
});

const other = { uid: 65534, gid: 65534 };
/** True where another user may read this checkout, and run the program that runs it. */
const isPublic =
  isRoot &&
  spawnSync(process.execPath, ["--check", import.meta.filename], { ...other, stdio: "ignore" }).status === 0;

describe.skipIf(!isPublic)(
  "a store of another user (skipped unless run as root, in a folder that others may read)",
  () => {
    it("can be read, and is not writable", async () => {
      const root = join(base, "theirs");
      const store = await opened(root);
      await store.commit(numbered(0));
      await store.close();
      chmodSync(base, 0o755);
      const script = join(base, "read.ts");
      const from = (path: string): string => JSON.stringify(join(import.meta.dirname, "../..", path));
      writeFileSync(
        script,
        `import { openStore } from ${from("cache/store.ts")};
       const opened = await openStore({ root: ${JSON.stringify(root)} });
       if (!opened.ok) throw new Error(JSON.stringify(opened.error));
       const found = opened.value.result(${JSON.stringify(numbered(0).key)});
       console.log(JSON.stringify([opened.value.writable, found?.key]));
       await opened.value.close();`,
      );
      chownSync(script, other.uid, other.gid);
      const child = spawnSync(process.execPath, [script], { ...other, encoding: "utf8" });
      expect(child.stderr).toBe("");
      expect(JSON.parse(child.stdout)).toEqual([false, numbered(0).key]);
    });
  },
);
