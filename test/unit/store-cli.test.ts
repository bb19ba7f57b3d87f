import { mkdtemp, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openStore } from "../../cache/store.ts";
import { register } from "../../engine/cli/commands/cache.ts";

let root: string;
let out: string[];
let errors: string[];
beforeEach(async () => {
  root = join(await mkdtemp(join(tmpdir(), "ranflow-cli-")), "store");
  out = [];
  errors = [];
  vi.spyOn(console, "log").mockImplementation((text: string) => void out.push(text));
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  vi.spyOn(console, "error").mockImplementation((text: string) => void errors.push(text));
  process.exitCode = undefined;
});
afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  await rm(join(root, ".."), { recursive: true, force: true });
});

async function cache(...args: readonly string[]): Promise<void> {
  const program = new Command().exitOverride();
  register(program);
  await program.parseAsync(["cache", ...args, "--store", root], { from: "user" });
}

async function filled(): Promise<void> {
  const store = await openStore({ root });
  if (!store.ok) throw new Error(store.error.message);
  const { digest } = await store.value.objects.putBytes(Buffer.alloc(2_000));
  // What has the time of the millisecond in which a collection begins counts as put meanwhile.
  await utimes(store.value.objects.path(digest), 1, 1);
  await store.value.close();
}

describe("ranflow cache", () => {
  it("status says what there is, in words or JSON", async () => {
    await filled();
    await cache("status");
    expect(out.join("\n")).toMatch(/^objects +1, 2\.0 kB$/m);
    await cache("status", "--json");
    expect(JSON.parse(out.at(-1) ?? "")).toMatchObject({
      root,
      results: 0,
      objects: { count: 1, bytes: 2_000 },
    });
  });

  it("gc says what it would remove, then removes it", async () => {
    await filled();
    await cache("gc", "--days", "0", "--dry-run");
    expect(out.at(-1)).toContain("would remove 0 results and 1 object: 2.0 kB");
    await cache("gc", "--days", "0", "--json");
    expect(JSON.parse(out.at(-1) ?? "")).toMatchObject({
      dryRun: false,
      removed: { objects: 1, bytes: 2_000 },
    });
    await cache("gc", "--days", "0");
    expect(out.at(-1)).toContain("removed 0 results and 0 objects");
  });

  it("verify ends with code 0 on a sound store and says so", async () => {
    await filled();
    await cache("verify");
    expect(out.at(-1)).toContain("every object holds the bytes");
    expect(process.exitCode).toBeUndefined();
  });

  it.each([["soon"], [""], ["-1"]])("refuses --days %s", async (days) => {
    await filled();
    await expect(cache("gc", `--days=${days}`)).rejects.toThrow("not a number of days");
    expect(out).toEqual([]);
  });

  it("says where it found no store", async () => {
    await cache("status");
    expect(errors.join("\n")).toContain(`there is no store at ${root}`);
    expect(process.exitCode).toBe(2);
  });
});
