import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import { toHalves } from "../../nodes/half.ts";
import { readSafetensors, writeSafetensors } from "../../nodes/safetensors.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-safetensors-"));
});

/** A file made by hand from a header and data. */
async function file(name: string, header: unknown, data: Uint8Array = new Uint8Array()): Promise<string> {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const path = join(folder, name);
  await writeFile(path, Buffer.concat([length, text, data]));
  return path;
}

describe("safetensors", () => {
  it("reads back what it wrote, with metadata", async () => {
    const path = join(folder, "all.safetensors");
    const tensors = new Map([
      ["weights", { shape: [2, 3], data: Float32Array.of(1, -2, 0.5, 3, NaN, Infinity) }],
      ["scalar", { shape: [], data: Float32Array.of(4.6) }],
      ["ids", { shape: [3], data: Int32Array.of(-1, 0, 49407) }],
      ["long", { shape: [1], data: BigInt64Array.of(2n ** 60n) }],
      ["bytes", { shape: [5], data: Uint8Array.of(0, 1, 2, 254, 255) }],
      ["empty", { shape: [0, 4], data: new Float32Array() }],
    ]);
    await writeSafetensors(path, tensors, { format: "pt" });
    const read = await readSafetensors(path);
    expect(read.metadata).toEqual({ format: "pt" });
    expect(read.tensors.size).toBe(tensors.size);
    for (const [name, tensor] of tensors) expect(read.tensors.get(name)).toEqual(tensor);
  });

  it("writes half precision: every half-precision number comes back as itself", async () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, index) => index);
    const path = join(folder, "halves.safetensors");
    await writeSafetensors(path, [["all", { shape: [65_536], data: bits }]]);
    const values = (await readSafetensors(path)).tensors.get("all")!.data as Float32Array;
    const isNumber = (_: number, index: number): boolean => !Number.isNaN(values[index]);
    expect(toHalves(values).filter(isNumber)).toEqual(bits.filter(isNumber));
    expect([...toHalves(Float32Array.of(NaN))]).toEqual([0x7e00]);
  });

  it("rounds to the nearest half-precision number, ties to the even one", async () => {
    const near = [
      1 + 2 ** -12,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      65_519,
      65_520,
      2 ** -25,
      3 * 2 ** -25,
      -(1 + 2 ** -10),
    ];
    const path = join(folder, "near.safetensors");
    await writeSafetensors(path, [
      ["near", { shape: [near.length], data: toHalves(Float32Array.from(near)) }],
    ]);
    expect([...(await readSafetensors(path)).tensors.get("near")!.data]).toEqual([
      1,
      1,
      1 + 2 ** -9,
      65_504,
      Infinity,
      0,
      2 ** -23,
      -(1 + 2 ** -10),
    ]);
  });

  it("writes the same bytes whatever the order of the tensors, with aligned data", async () => {
    const a = ["a", { shape: [3], data: Uint8Array.of(1, 2, 3) }] as const;
    const b = ["b", { shape: [1], data: Float32Array.of(1) }] as const;
    const [one, two] = [join(folder, "one"), join(folder, "two")];
    await writeSafetensors(one, [a, b]);
    await writeSafetensors(two, [b, a]);
    const bytes = await readFile(one);
    expect(bytes).toEqual(await readFile(two));
    expect(Number(bytes.readBigUInt64LE()) % 8).toBe(0);
  });

  it("widens half precision", async () => {
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x3555, 0x8000);
    const brains = Uint16Array.of(0x3f80, 0xc040, 0x7f80);
    const path = await file(
      "half",
      {
        h: { dtype: "F16", shape: [7], data_offsets: [0, 14] },
        b: { dtype: "BF16", shape: [3], data_offsets: [14, 20] },
      },
      Buffer.concat([Buffer.from(halves.buffer), Buffer.from(brains.buffer)]),
    );
    const { tensors } = await readSafetensors(path);
    expect([...(tensors.get("h")?.data ?? [])]).toEqual([
      1,
      -2,
      2 ** -24,
      65504,
      Infinity,
      0.333251953125,
      -0,
    ]);
    expect([...(tensors.get("b")?.data ?? [])]).toEqual([1, -3, Infinity]);
  });

  it.each([
    ["missing", undefined, /cannot open .*missing/],
    ["short", "raw", /has 3 bytes, fewer than the 8/],
    ["no-json", "{nope", /header is not JSON/],
    ["list", [], /header is not a JSON object/],
    [
      "dtype",
      { x: { dtype: "F8_E4M3", shape: [8], data_offsets: [0, 8] } },
      /"x" has dtype F8_E4M3; readable are/,
    ],
    ["shape", { x: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, /"x" has no valid dtype/],
    [
      "size",
      { x: { dtype: "F32", shape: [2], data_offsets: [0, 4] } },
      /"x" of shape \[2\] needs 8 bytes, its offsets are 0 to 4/,
    ],
    [
      "cut",
      { x: { dtype: "F32", shape: [2], data_offsets: [0, 8] } },
      /cut is truncated: tensor "x" lies at bytes 0 to 8 of the data, which ends at 0/,
    ],
  ])("says what is wrong with a file (%s)", async (name, header, message) => {
    const path = join(folder, name);
    if (header === "raw") await writeFile(path, "abc");
    else if (header !== undefined) await file(name, header);
    await expect(readSafetensors(path)).rejects.toThrow(message);
    await expect(readSafetensors(path)).rejects.toBeInstanceOf(NodeError);
  });

  it("refuses tensors that share their bytes, and what is no dtype but a name that every object knows", async () => {
    const tensor = { dtype: "U8", shape: [4], data_offsets: [0, 4] };
    const entries = Array.from({ length: 1000 }, (_, i) => [`t${i}`, tensor]);
    await file("shared", Object.fromEntries(entries), new Uint8Array(4));
    await expect(readSafetensors(join(folder, "shared"))).rejects.toThrow("its tensors overlap");
    await file("inherited", JSON.stringify({ t: { ...tensor, dtype: "toString" } }));
    await expect(readSafetensors(join(folder, "inherited"))).rejects.toThrow(
      "has dtype toString; readable are",
    );
  });

  it("refuses a header longer than the file", async () => {
    const path = join(folder, "long-header");
    const bytes = Buffer.alloc(16);
    bytes.writeBigUInt64LE(99_999n);
    await writeFile(path, bytes);
    await expect(readSafetensors(path)).rejects.toThrow(/announces a header of 99999 bytes, the file has 16/);
  });
});
