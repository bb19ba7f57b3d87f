import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Digest } from "../../engine/sdk.ts";
import {
  readImages,
  readMetrics,
  readPairs,
  readTable,
  writeImages,
  writeMetrics,
  writePairs,
  writeTable,
} from "../../nodes/records.ts";

const blob = (byte: string) => ({ digest: `sha256:${byte.repeat(64)}` as Digest, size: 12 });

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-records-"));
});
afterEach(() => rm(folder, { recursive: true }));

const file = (): string => join(folder, "records");
async function content(text: string): Promise<string> {
  await writeFile(file(), text);
  return file();
}

describe("pairs", () => {
  it("come back as they were written, whatever the captions hold", async () => {
    const pairs = ["plain", "line\nbreak \u2028 separator \u2029", '"quoted" \\ back', "émoji 🩻", ""].map(
      (caption, index) => ({ id: `p${index}`, image: blob("a"), caption }),
    );
    await writePairs(file(), pairs);
    expect(await readPairs(file())).toEqual(pairs);
  });

  it("carry the random noise of a caption, where there is one", async () => {
    const pair = { id: "a", image: blob("b"), caption: "c" };
    const pairs = [pair, { ...pair, id: "b", captionNoise: { relSigma: 0.1, seed: 7 } }];
    await writePairs(file(), pairs);
    expect(await readPairs(file())).toEqual(pairs);
    await content(JSON.stringify({ ...pair, captionNoise: null }));
    await expect(readPairs(file())).rejects.toThrow(
      "records:1: field captionNoise is not { relSigma, seed }",
    );
  });

  it("have bytes that do not depend on the order or surplus of fields", async () => {
    await writePairs(file(), [{ id: "a", image: blob("b"), caption: "c" }]);
    const first = await readFile(file(), "utf8");
    const other = {
      caption: "c",
      note: 1,
      image: { size: 12, digest: blob("b").digest, path: "x" },
      id: "a",
    };
    await writePairs(file(), [other]);
    expect(await readFile(file(), "utf8")).toBe(first);
  });

  it("stream: more than one buffer's worth comes back whole", async () => {
    const pairs = Array.from({ length: 5000 }, (_, i) => ({
      id: `p${i}`,
      image: blob("c"),
      caption: "ü".repeat(i % 97),
    }));
    await writePairs(file(), pairs);
    expect(await readPairs(file())).toEqual(pairs);
  });

  it("of no records are an empty file", async () => {
    await writePairs(file(), []);
    expect(await readFile(file(), "utf8")).toBe("");
    expect(await readPairs(file())).toEqual([]);
  });

  const good = JSON.stringify({ id: "a", image: blob("a"), caption: "x" });
  it.each([
    ["not JSON", `${good}\n{"id":`, ":2 is not JSON"],
    ["no object", "[1]\n", ":1 is not a JSON object"],
    [
      "a missing caption",
      `${good}\n${JSON.stringify({ id: "b", image: blob("a") })}\n`,
      ":2: field caption is missing",
    ],
    ["an id that is a number", `{"id":3,"image":{},"caption":""}`, ":1: field id is 3, not text"],
    ["a path in place of a digest", `{"id":"a","image":"a.png","caption":""}`, ':1: field image is "a.png"'],
    [
      "a short digest",
      `{"id":"a","image":{"digest":"sha256:00","size":1},"caption":""}`,
      "field image.digest",
    ],
    [
      "a negative size",
      JSON.stringify({ id: "a", image: { ...blob("a"), size: -1 }, caption: "" }),
      "field image.size is -1",
    ],
  ])("with %s name line and field", async (_, text, message) => {
    await expect(readPairs(await content(text))).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringContaining(message),
    });
  });
});

describe("images", () => {
  const header = { dataset: "chestxray14", split: "test", labels: ["Mass", "Nodule"] };

  it("come back with their header", async () => {
    const records = [
      { id: "a", image: blob("a"), y: [0, null] as const },
      { id: "b", image: blob("b"), y: [1, 0] as const },
    ];
    await writeImages(file(), header, records);
    expect(await readImages(file())).toEqual({ header, records });
  });

  it("refuse to be written with labels that the header does not name", async () => {
    await expect(writeImages(file(), header, [{ id: "a", image: blob("a"), y: [1] }])).rejects.toThrow(
      "record a has 1 labels of 2",
    );
  });

  it.each([
    ["without a header", "", "is empty"],
    ["with a header without labels", `{"dataset":"d","split":"s"}\n`, ":1: field labels is missing"],
    [
      "with too few answers",
      `${JSON.stringify(header)}\n${JSON.stringify({ id: "a", image: blob("a"), y: [1] })}\n`,
      ":2: field y has 1 values where the header names 2 labels",
    ],
    [
      "with an answer that is none",
      `${JSON.stringify(header)}\n${JSON.stringify({ id: "a", image: blob("a"), y: [1, 0.5] })}\n`,
      ":2: field y[1] is 0.5, not 0, 1 or null",
    ],
  ])("%s name line and field", async (_, text, message) => {
    await expect(readImages(await content(text))).rejects.toThrow(message);
  });
});

describe("tables and metrics", () => {
  it("keep rows, and turn what JSON cannot hold into null", async () => {
    await writeTable(file(), [
      { id: "a", value: 0.5, kept: true, note: null },
      { id: "b", value: Number.NaN, kept: false, note: "x" },
    ]);
    expect(await readTable(file())).toEqual([
      { id: "a", value: 0.5, kept: true, note: null },
      { id: "b", value: null, kept: false, note: "x" },
    ]);
    await writeMetrics(file(), { auc: 0.75, acc: Number.POSITIVE_INFINITY, dataset: "d" });
    expect(await readMetrics(file())).toEqual({ auc: 0.75, acc: null, dataset: "d" });
  });

  it("name the field that is not a single value", async () => {
    const nested = await content(`{"id":"a"}\n{"id":"b","values":[1]}\n`);
    await expect(readTable(nested)).rejects.toThrow(":2: field values is a list, not a single value");
    await expect(readMetrics(await content(`{"a":{}}`))).rejects.toThrow("field a is an object");
    await expect(readMetrics(await content("3"))).rejects.toThrow("is not a JSON object");
  });
});
