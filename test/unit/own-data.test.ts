import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { dataLabels } from "../../nodes/data-labels.ts";
import { dataPairs } from "../../nodes/data-pairs.ts";
import { readImages, readPairs } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

async function folderOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "ranflow-own-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  return root;
}

const pictures = (...names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `pixels of ${name}`]));

async function pairsOf(root: string, params: JsonObject = {}) {
  const { logs, outputs } = await runNode(dataPairs, { params: { root, ...params } });
  return { pairs: await readPairs(outputs["pairs"]!), logs };
}

async function labelsOf(root: string, params: JsonObject) {
  const { logs, outputs } = await runNode(dataLabels, { params: { root, dataset: "lab", ...params } });
  return { ...(await readImages(outputs["images"]!)), logs };
}

async function problem(type: NodeType, params: JsonObject): Promise<NodeError> {
  const error: unknown = await runNode(type, { params }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(NodeError);
  return error as NodeError;
}

const parquet = (codec: "SNAPPY" | "UNCOMPRESSED"): Uint8Array =>
  new Uint8Array(
    parquetWriteBuffer({
      codec,
      columnData: [
        { name: "image", data: ["a.png", "b.png"], type: "STRING" },
        { name: "caption", data: ["One, two", "Drei"], type: "STRING" },
        { name: "age", data: [40, 50], type: "INT32" },
      ],
    }),
  );

describe("records that share an image", () => {
  it.each(["error", "skip"])("are chosen one by one (onMissing: %s)", async (onMissing) => {
    const rows = Array.from({ length: 30 }, (_, i) => [`r${i}`, `${i % 5}.png`] as const);
    const root = await folderOf({
      "t.csv": `id,image,caption\n${rows.map(([id, image]) => `${id},${image},about ${id}`).join("\n")}\n`,
      ...pictures("0.png", "1.png", "2.png", "3.png", "4.png"),
    });
    const idsOf = async (params: JsonObject): Promise<readonly string[]> =>
      (await pairsOf(root, { table: "t.csv", id: "id", onMissing, ...params })).pairs.map(({ id }) => id);
    expect(await idsOf({ limit: 2 })).toEqual(["r0", "r1"]);
    expect(await idsOf({ limit: 2, exclude: ["r0", "r5"] })).toEqual(["r1", "r2"]);
    const half = await idsOf({ fraction: 0.5 });
    expect(half).toHaveLength(15);
    const some = await idsOf({ fraction: 0.2 });
    expect(some).toHaveLength(6);
    expect(half).toEqual(expect.arrayContaining([...some]));
    expect(await idsOf({ exclude: ["r3"] })).toHaveLength(29);
  });
});

describe("a table of one's own", () => {
  it.each([
    ["CSV", "t.csv", 'image,caption,age\na.png,"One, two",40\nb.png,Drei,50\n'],
    [
      "JSON lines",
      "t.jsonl",
      '{"image":"a.png","caption":"One, two","age":40}\n{"image":"b.png","caption":"Drei","age":50}\n',
    ],
    ["Parquet", "t.parquet", parquet("UNCOMPRESSED")],
    ["Parquet, compressed", "t.parquet", parquet("SNAPPY")],
  ])("is read as %s", async (_, name, content) => {
    const root = await folderOf({ [name]: content, ...pictures("a.png", "b.png") });
    const { pairs } = await pairsOf(root);
    expect(pairs.map(({ caption, id }) => [id, caption])).toEqual([
      ["a", "One, two"],
      ["b", "Drei"],
    ]);
    const older = await pairsOf(root, { where: { age: 50 } });
    expect(older.pairs.map(({ id }) => id)).toEqual(["b"]);
  });

  it("names a column that is not there, a cell that is no value, and a file that is no table", async () => {
    const root = await folderOf({
      "t.parquet": parquet("SNAPPY"),
      "u.jsonl": '{"image":["a.png"],"caption":""}\n',
      "v.txt": "",
    });
    expect((await problem(dataPairs, { root, table: "t.parquet", caption: "captoin" })).hint).toMatch(
      /Did you mean caption/,
    );
    expect((await problem(dataPairs, { root, table: "u.jsonl" })).message).toMatch(
      /u\.jsonl:1 has no single value in its column image/,
    );
    expect((await problem(dataPairs, { root, table: "v.txt" })).message).toMatch(/v\.txt is no table/);
    expect((await problem(dataPairs, { root, table: "w.csv" })).message).toMatch(/has no table w\.csv/);
    expect((await problem(dataPairs, { root })).message).toMatch(/holds 2 tables: t\.parquet, u\.jsonl/);
    await writeFile(join(root, "t.parquet"), parquet("SNAPPY").subarray(0, 60));
    expect((await problem(dataPairs, { root, table: "t.parquet" })).message).toMatch(
      /cannot be read as Parquet/,
    );
  });
});

describe("data.pairs", () => {
  it("finds images below a folder, takes ids from a column, and leaves out rows without a caption", async () => {
    const root = await folderOf({
      "t.csv": "file,text,key\nx/1.png,One,k1\n./x/2.png,,k2\nx\\3.png,Three,k3\n",
      ...pictures("img/x/1.png", "img/x/2.png", "img/x/3.png"),
    });
    const { logs, pairs } = await pairsOf(root, { image: "file", caption: "text", id: "key", images: "img" });
    expect(pairs.map(({ caption, id }) => [id, caption])).toEqual([
      ["k1", "One"],
      ["k3", "Three"],
    ]);
    expect(logs.join("\n")).toMatch(/1 rows without a caption/);
  });

  it("reads nothing outside its folder", async () => {
    for (const image of ["../../etc/passwd", "/etc/passwd", "..", ""]) {
      const root = await folderOf({ "t.csv": `image,caption\n${image},text\n` });
      expect((await problem(dataPairs, { root })).message).toMatch(
        /t\.csv:2 names the image .*not in the folder/,
      );
    }
    const root = await folderOf({
      "inner/t.csv": "image,caption\na.png,text\n",
      "outside.csv": "image,caption\n",
    });
    expect(
      (await problem(dataPairs, { root: join(root, "inner"), table: "../outside.csv" })).message,
    ).toMatch(/has no table \.\.\/outside\.csv/);
  });

  it("deals rows out into parts that are disjoint and whole, and keeps groups together", async () => {
    const rows = Array.from({ length: 30 }, (_, i) => [`${i}.png`, `text ${i}`, `patient ${i % 7}`] as const);
    const root = await folderOf({
      "t.csv": `image,caption,patient\n${rows.map((row) => row.join(",")).join("\n")}\n`,
      ...pictures(...rows.map(([name]) => name)),
    });
    const parts = async (params: JsonObject) =>
      Promise.all(
        ["train", "val", "test"].map(async (split) =>
          (await pairsOf(root, { split, ...params })).pairs.map(({ id }) => Number(id)),
        ),
      );
    const byImage = await parts({});
    expect(byImage.map((part) => part.length)).toEqual([21, 3, 6]);
    expect(byImage.flat().toSorted((a, b) => a - b)).toEqual(rows.map((_, i) => i));
    const byPatient = await parts({ group: "patient" });
    expect(byPatient.flat()).toHaveLength(30);
    const patients = byPatient.map((part) => new Set(part.map((i) => i % 7)));
    expect(patients.reduce((sum, { size }) => sum + size, 0)).toBe(7);
    expect(
      dataPairs.check?.({ ...dataPairs.params.parse({ root, shares: [0.5, 0.1, 0.1] }) } as never),
    ).toMatch(/shares add up to 0\.7/);
  });
});

describe("data.labels", () => {
  it("reads labels from columns, with doubt and empty cells as told", async () => {
    const root = await folderOf({
      "t.csv": "image,A,B\na.png,1,0.0\nb.png,-1,\n",
      ...pictures("a.png", "b.png"),
    });
    const y = async (params: JsonObject) =>
      (await labelsOf(root, { labels: ["A", "B"], ...params })).records.map((record) => record.y);
    expect(await y({})).toEqual([
      [1, 0],
      [null, null],
    ]);
    expect(await y({ uncertain: "u_ones", blank: "absent" })).toEqual([
      [1, 0],
      [1, 0],
    ]);
    expect(await y({ uncertain: "u_zeros" })).toEqual([
      [1, 0],
      [0, null],
    ]);
    expect((await labelsOf(root, { labels: ["B"], split: "all" })).header).toEqual({
      dataset: "lab",
      split: "all",
      labels: ["B"],
    });
  });

  it("reads labels that one column lists, and warns of one that no image has", async () => {
    const root = await folderOf({
      "t.jsonl": '{"image":"a.png","findings":"Mass; Nodule"}\n{"image":"b.png"}\n',
      ...pictures("a.png", "b.png"),
    });
    const { logs, records } = await labelsOf(root, {
      labels: ["Nodule", "Mas", "Mass"],
      labelColumn: "findings",
      separator: ";",
    });
    expect(records.map(({ y }) => y)).toEqual([
      [1, 0, 1],
      [0, 0, 0],
    ]);
    expect(logs.join("\n")).toMatch(/no image has Mas: check the spelling/);
  });

  it("says where a label is none", async () => {
    const root = await folderOf({ "t.csv": "image,A\na.png,1\nb.png,yes\n", ...pictures("a.png", "b.png") });
    expect((await problem(dataLabels, { root, dataset: "lab", labels: ["A"] })).message).toMatch(
      /t\.csv:3 has "yes" for A/,
    );
  });
});
