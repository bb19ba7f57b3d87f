import { existsSync, readFileSync, statSync } from "node:fs";
import { link, mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { canonicalJson } from "../../cache/canonical.ts";
import { StoreError } from "../../cache/errors.ts";
import { digestBytes } from "../../cache/hash.ts";
import { openObjects } from "../../cache/objects.ts";
import type { ObjectStore } from "../../cache/types.ts";
import type { Digest } from "../../engine/model/ids.ts";

let folder: string;
let objects: ObjectStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-objects-"));
  objects = openObjects(join(folder, "store"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function output(name: string, content = name): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, content);
  return path;
}

async function leftovers(): Promise<readonly string[]> {
  return readdir(join(folder, "store", "tmp")).catch(() => []);
}

describe("bytes", () => {
  it("lie under their digest, read-only, with nothing left over", async () => {
    const { digest, size } = await objects.putBytes(Buffer.from("hello"));
    expect(digest).toBe(digestBytes("hello"));
    expect(size).toBe(5);
    expect(objects.path(digest)).toBe(join(folder, "store", "objects", digest.slice(7, 9), digest.slice(9)));
    expect(readFileSync(objects.path(digest), "utf8")).toBe("hello");
    expect(statSync(objects.path(digest)).mode & 0o222).toBe(0);
    expect(await leftovers()).toEqual([]);
  });

  it("may be put twice, by many at once, and empty", async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => objects.putBytes(Buffer.from("same"))));
    expect(new Set(all.map(({ digest }) => digest)).size).toBe(1);
    expect((await objects.putBytes(new Uint8Array())).size).toBe(0);
    expect(await leftovers()).toEqual([]);
  });

  it("that are there already become young again, so that gc leaves them alone", async () => {
    const { digest } = await objects.putBytes(Buffer.from("old"));
    await utimes(objects.path(digest), 1, 1);
    const before = Date.now();
    await objects.putBytes(Buffer.from("old"));
    expect(statSync(objects.path(digest)).mtimeMs).toBeGreaterThanOrEqual(before - 1_000);
  });
});

describe("has and path", () => {
  it("take nothing for a digest that is none", () => {
    const hostile = "sha256:../../etc/passwd" as Digest;
    expect(objects.has(hostile)).toBe(false);
    expect(() => objects.path(hostile)).toThrow("internal error");
  });
});

describe("files", () => {
  it("are moved in", async () => {
    const path = await output("a.txt");
    const { digest } = await objects.putFile(path);
    expect(existsSync(path)).toBe(false);
    expect(readFileSync(objects.path(digest), "utf8")).toBe("a.txt");
  });

  it("are copied where they are linked from elsewhere, so that the other name stays writable", async () => {
    const dataset = await output("dataset.png");
    await link(dataset, join(folder, "out.png"));
    await symlink(dataset, join(folder, "soft.png"));
    const hard = await objects.putFile(join(folder, "out.png"));
    const soft = await objects.putFile(join(folder, "soft.png"));
    expect(soft).toEqual(hard);
    expect(statSync(dataset).mode & 0o200).not.toBe(0);
    await writeFile(dataset, "changed later");
    expect(readFileSync(objects.path(hard.digest), "utf8")).toBe("dataset.png");
    expect(existsSync(join(folder, "out.png"))).toBe(false);
    expect(existsSync(join(folder, "soft.png"))).toBe(false);
  });
});

describe("folders", () => {
  it("are named by their canonical manifest", async () => {
    await output("out/b.txt", "b");
    await output("out/sub/ä.txt", "a");
    await output("out/__proto__", "p");
    await mkdir(join(folder, "out", "empty"));
    const artifact = await objects.putArtifact(join(folder, "out"), "folder");
    const blob = (text: string): object => ({ digest: digestBytes(text), size: text.length });
    const files = Object.fromEntries([
      ["__proto__", blob("p")],
      ["b.txt", blob("b")],
      ["sub/ä.txt", blob("a")],
    ]);
    expect(artifact).toEqual({
      digest: digestBytes(canonicalJson({ files } as never)),
      kind: "folder",
      size: 3,
    });
    expect(Object.keys((await objects.manifest(artifact.digest)).files)).toEqual(Object.keys(files));
    expect(existsSync(join(folder, "out"))).toBe(false);
    expect(await objects.complete(artifact)).toBe(true);
    await rm(objects.path(digestBytes("b")));
    expect(await objects.complete(artifact)).toBe(false);
  });

  it("have the same digest however they were written", async () => {
    await output("one/x", "1");
    await output("one/y", "2");
    await output("two/y", "2");
    await output("two/x", "1");
    const one = await objects.putArtifact(join(folder, "one"), "folder");
    expect(await objects.putArtifact(join(folder, "two"), "folder")).toEqual(one);
  });

  it("of many small files take no more than a few seconds", async () => {
    await mkdir(join(folder, "many"));
    await Promise.all(
      Array.from({ length: 1_000 }, (_, i) => writeFile(join(folder, "many", `${i}`), `${i}`)),
    );
    const artifact = await objects.putArtifact(join(folder, "many"), "folder");
    expect(Object.keys((await objects.manifest(artifact.digest)).files)).toHaveLength(1_000);
  });
});

describe("outputs that cannot become artifacts", () => {
  const refused = async (work: Promise<unknown>, text: string): Promise<void> => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(StoreError);
    expect(error).toMatchObject({ code: "bad-output", message: expect.stringContaining(text) as string });
  };

  it("are named: a missing file, a file for a folder, a folder for a file", async () => {
    await refused(objects.putArtifact(join(folder, "no"), "file"), "is not there");
    await refused(objects.putArtifact(await output("file"), "folder"), "is not a folder");
    await mkdir(join(folder, "dir"));
    await refused(objects.putArtifact(join(folder, "dir"), "file"), "is not a regular file");
  });

  it("are named: links to folders and to nowhere, and pipes", async () => {
    for (const [name, target] of [
      ["loop", "."],
      ["nowhere", "gone"],
    ] as const) {
      await mkdir(join(folder, name));
      await symlink(target, join(folder, name, "link"));
      await refused(objects.putArtifact(join(folder, name), "folder"), join(name, "link"));
    }
    await mkdir(join(folder, "pipe"));
    execFileSync("mkfifo", [join(folder, "pipe", "fifo")]);
    await refused(objects.putArtifact(join(folder, "pipe"), "folder"), "neither a file nor a folder");
  });

  it("leave nothing behind in the store", async () => {
    await symlink("gone", join(folder, "link"));
    await refused(objects.putArtifact(join(folder, "link"), "file"), "leads nowhere");
    expect(await leftovers()).toEqual([]);
  });
});

describe("manifests", () => {
  it("that are missing or damaged are said to be so", async () => {
    await expect(objects.manifest(digestBytes("none"))).rejects.toMatchObject({ code: "missing" });
    const blob = JSON.stringify({ digest: digestBytes("x"), size: 1 });
    for (const files of [
      '"a":{"digest":"x","size":1}',
      ...["../a", "a/../../b", "/a", "a//b", ".", "", "a\\\\..\\\\b", "C:a", "a\\u0000b"].map(
        (name) => `"${name}":${blob}`,
      ),
      // A file that is a folder of another.
      `"a":${blob},"a/b":${blob}`,
    ]) {
      const { digest } = await objects.putBytes(Buffer.from(`{"files":{${files}}}`));
      await expect(objects.manifest(digest), files).rejects.toMatchObject({ code: "damaged" });
    }
  });
});
