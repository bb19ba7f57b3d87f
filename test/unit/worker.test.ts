import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { digestBytes } from "../../cache/hash.ts";
import { openObjects } from "../../cache/objects.ts";
import { temporaryPath } from "../../cache/temporary.ts";
import type { Digest } from "../../engine/model/ids.ts";
import type { DriverMessage, WorkerAsk, WorkerMessage } from "../../engine/model/protocol.ts";
import { NodeError } from "../../engine/sdk.ts";
import { openBlobs } from "../../engine/worker/blobs.ts";
import { openChannel } from "../../engine/worker/channel.ts";
import type { DriverChannel } from "../../engine/worker/channel.ts";
import { hasCheckpoint, openCheckpoint } from "../../engine/worker/checkpoint.ts";
import { openExternal } from "../../engine/worker/external.ts";
import { scanExternal } from "../../engine/worker/scan.ts";
import { failureOf } from "../../engine/worker/failure.ts";
import { openPrivateFolders } from "../../engine/worker/private-folders.ts";
import { throttledProgress } from "../../engine/worker/progress.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-worker-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A channel to a driver that has these answers. */
function answering(answer: (question: WorkerAsk) => unknown): DriverChannel {
  let listener: ((message: DriverMessage) => void) | undefined;
  const send = (message: WorkerMessage): void => {
    if (message.kind !== "ask") return;
    listener?.({ kind: "answer", ask: message.ask, value: answer(message.question) as never });
  };
  return openChannel({ send, onMessage: (on) => (listener = on) }, () => {});
}

describe("private folders", () => {
  it("are empty, and under another name for every step, so that no late writer of one reaches the next", async () => {
    const folders = openPrivateFolders(() => temporaryPath(folder));
    const first = await folders.take();
    await writeFile(join(first, "text"), "left over");
    await folders.leave(first);
    const second = await folders.take();
    await folders.leave(second);
    const third = await folders.take();
    expect(new Set([first, second, third]).size).toBe(3);
    expect(await readdir(third)).toEqual([]);
    expect(await readdir(join(folder, "tmp"))).toHaveLength(1);
    await folders.leave(third);
    folders.close();
    expect(await readdir(join(folder, "tmp"))).toEqual([]);
  });

  it("are made again where somebody removed them", async () => {
    const folders = openPrivateFolders(() => temporaryPath(folder));
    await folders.leave(await folders.take());
    await rm(join(folder, "tmp"), { recursive: true });
    const again = await folders.take();
    expect(await readdir(again)).toEqual([]);
    await rm(again, { recursive: true });
    await folders.leave(again);
    folders.close();
  });
});

describe("checkpoints", () => {
  const open = (
    options: Partial<Parameters<typeof openCheckpoint>[0]> = {},
  ): ReturnType<typeof openCheckpoint> =>
    openCheckpoint({
      folder,
      variant: "wasm/1",
      minutes: 5,
      signal: new AbortController().signal,
      ...options,
    });
  const saveText = (text: string) => (into: string) => writeFile(join(into, "state"), text);

  it("are found again, the last complete one", async () => {
    const checkpoint = open();
    expect(await checkpoint.restore()).toBeUndefined();
    await checkpoint.save(saveText("one"));
    await checkpoint.save(saveText("two"));
    const found = (await open().restore()) ?? "";
    expect(await readFile(join(found, "state"), "utf8")).toBe("two");
    expect(await open({ variant: "wasm/2" }).restore()).toBeUndefined();
    expect(await hasCheckpoint(folder)).toBe(true);
  });

  it("outlive a write that fails half-way, and one whose process dies", async () => {
    const checkpoint = open();
    await checkpoint.save(saveText("one"));
    const failing = checkpoint.save(async (into) => {
      await saveText("half")(into);
      throw new Error("no space left");
    });
    await expect(failing).rejects.toThrow("no space left");
    const [variant = ""] = await readdir(folder);
    await mkdir(join(folder, variant, "unfinished-of-a-dead-process"));
    const found = (await open().restore()) ?? "";
    expect(await readFile(join(found, "state"), "utf8")).toBe("one");
    expect(await readdir(join(folder, variant))).toEqual(["00000001"]);
  });

  it("stay inside their folder whatever the variant is called", async () => {
    await open({ variant: "../../escape" }).save(saveText("x"));
    expect(existsSync(join(folder, "..", "..", "escape"))).toBe(false);
    expect(await readdir(folder)).toHaveLength(1);
  });

  it("are due after their minutes, and when the step is to stop", async () => {
    let now = 0;
    const abort = new AbortController();
    const checkpoint = open({ minutes: 2, now: () => now, signal: abort.signal });
    expect(checkpoint.due()).toBe(false);
    now = 2 * 60_000;
    expect(checkpoint.due()).toBe(true);
    await checkpoint.save(saveText("x"));
    expect(checkpoint.due()).toBe(false);
    abort.abort();
    expect(checkpoint.due()).toBe(true);
    expect(open({ minutes: 0 }).due()).toBe(true);
  });
});

describe("progress", () => {
  afterEach(() => vi.useRealTimers());

  it("is sent at once, then at most ten times a second, and always to the last", () => {
    vi.useFakeTimers();
    const sent: number[] = [];
    const { progress, flush } = throttledProgress(({ done }) => sent.push(done));
    for (let done = 1; done <= 1000; done++) progress(done, 1000);
    expect(sent).toEqual([1]);
    vi.advanceTimersByTime(100);
    expect(sent).toEqual([1, 1000]);
    progress(1001, 1001);
    flush();
    expect(sent).toEqual([1, 1000, 1001]);
    flush();
    expect(sent).toHaveLength(3);
  });

  it("leaves out what JSON cannot hold", () => {
    const sent: unknown[] = [];
    throttledProgress((update) => sent.push(update)).progress(1, 2, { loss: NaN, rate: 3 }, "step");
    expect(sent).toEqual([{ done: 1, total: 2, unit: "step", series: { rate: 3 } }]);
  });
});

describe("a scan", () => {
  it("takes no file from outside the dataset's folder", async () => {
    const scan = (name: string): Promise<unknown> =>
      scanExternal({
        nodeType: { scan: async () => ({ dataset: "xrays", root: folder, files: ["a.png", name] }) } as never,
        params: {},
        objects: undefined as never,
        channel: { send: () => {}, ask: async () => [] },
        signal: new AbortController().signal,
        progress: () => {},
        log: () => {},
      });
    for (const name of ["../secret", "a/../../secret", "/etc/passwd", "..", "", "a\0b"]) {
      await expect(scan(name), name).rejects.toThrow(
        `dataset xrays: the name ${JSON.stringify(name)} leads out of`,
      );
    }
    // What is no way out is only missing.
    for (const name of ["b/..c", "...", "b.png"])
      await expect(scan(name), name).rejects.toThrow("is missing");
  });
});

describe("failures", () => {
  it("tell apart what the user, the disk and the node type did", () => {
    const node = failureOf(new NodeError("no rows", { hint: "look", transient: true }), "a.b");
    expect(node).toMatchObject({
      transient: true,
      error: { kind: "node", message: "no rows", hint: "look" },
    });
    const full = failureOf(
      Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" }),
      "a.b",
      "/data/store",
    );
    expect(full).toMatchObject({ error: { kind: "io", hint: expect.stringContaining("free some space") } });
    expect(full.error.message).toContain("/data/store");
    const bug = failureOf(new TypeError("x is not a function", { cause: new Error("deeper") }), "a.b");
    expect(bug.error).toMatchObject({
      kind: "internal",
      message: "the node type a.b threw: x is not a function",
    });
    expect(bug.error.detail).toContain("caused by: Error: deeper");
    expect(failureOf("just text", "a.b").error.message).toContain("just text");
  });
});

describe("external files", () => {
  it("that were read have the bytes which the scan saw, also in the end", async () => {
    for (const name of ["a", "b"]) await writeFile(join(folder, name), name);
    const objects = openObjects(join(folder, "store"));
    const entries = ["a", "b"].map((name) => [name, digestBytes(name), 1]);
    const { digest } = await objects.putBytes(Buffer.from(JSON.stringify(entries)));
    const channel = answering((question) =>
      question.what === "stat-get" ? question.files.map(() => null) : null,
    );
    const { files, check } = await openExternal(
      { root: folder, list: { digest, count: 2 } },
      { objects, channel },
    );
    expect(await readFile(files.get("a")?.path ?? "", "utf8")).toBe("a");
    await writeFile(join(folder, "b"), "B");
    await check();
    await writeFile(join(folder, "a"), "A");
    await expect(check()).rejects.toThrow(`${join(folder, "a")} has changed since this run looked at it`);
    await rm(join(folder, "a"));
    await expect(check()).rejects.toThrow("has changed");
  });
});

describe("blobs", () => {
  const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}` as Digest;

  const blobsThat = (answer: (question: WorkerAsk) => unknown): ReturnType<typeof openBlobs> =>
    openBlobs(openObjects(join(folder, "store")), answering(answer));

  it("are found in objects and in dataset folders, in the order asked, with one question", async () => {
    await writeFile(join(folder, "b.png"), "bb");
    let questions = 0;
    const blobs = blobsThat((question) => {
      questions++;
      if (question.what !== "locate") return null;
      return question.digests.map((asked) =>
        asked === digest("b")
          ? { kind: "external", root: folder, name: "b.png", dataset: "roco", isSeen: true }
          : { kind: "object" },
      );
    });
    const stored = await blobs.put(Buffer.from("aaa"));
    const external = { digest: digest("b"), size: 2 };
    const located = await blobs.locate([external, stored, external]);
    expect(located.map(({ size }) => size)).toEqual([2, 3, 2]);
    expect(await readFile(located[1]?.path ?? "", "utf8")).toBe("aaa");
    await blobs.locate([stored]);
    expect(questions).toBe(1);
  });

  it("whose file nobody has seen since are looked at", async () => {
    const place = { kind: "external", root: folder, name: "b.png", dataset: "roco", isSeen: false };
    await writeFile(join(folder, "b.png"), "bb");
    const put: unknown[] = [];
    const blobs = (known: Digest | null): ReturnType<typeof openBlobs> =>
      blobsThat((question) => {
        if (question.what === "stat-put") put.push(...question.files.map(([, , found]) => found));
        return question.what === "locate" ? [place] : [known];
      });
    const wanted = { digest: digestBytes("bb"), size: 2 };
    const problem = `dataset roco: the file ${join(folder, "b.png")} has changed since it was read`;
    await blobs(null).locate([wanted]);
    expect(put).toEqual([wanted.digest]);
    await blobs(wanted.digest).locate([wanted]);
    expect(put).toHaveLength(1);
    await expect(blobs(digest("c")).locate([wanted])).rejects.toThrow(problem);
    await writeFile(join(folder, "b.png"), "cc");
    await expect(blobs(null).locate([wanted])).rejects.toThrow(problem);
    expect(await blobs(null).has([wanted])).toEqual([false]);
  });

  it("that are gone or changed are errors that name the dataset, the path and the fix", async () => {
    const blobs = blobsThat(() => [{ kind: "external", root: folder, name: "x/gone.png", dataset: "roco" }]);
    await expect(blobs.locate([{ digest: digest("c"), size: 2 }])).rejects.toMatchObject({
      name: "NodeError",
      message: `dataset roco: the file x/gone.png is gone; it was last at ${join(folder, "x/gone.png")}`,
      hint: expect.stringContaining("put the file back"),
    });
    await mkdir(join(folder, "x"));
    await writeFile(join(folder, "x/gone.png"), "longer");
    await expect(blobs.locate([{ digest: digest("c"), size: 2 }])).rejects.toThrow("has 6 bytes, but had 2");
    const lost = blobsThat(() => [null]);
    await expect(lost.locate([{ digest: digest("d"), size: 2 }])).rejects.toThrow("the store has lost");
  });
});
