import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint, readCheckpoint, readCheckpointShapes } from "../../nodes/checkpoints/checkpoint.ts";
import { writeSafetensors } from "../../nodes/safetensors.ts";
import { storedZip } from "../rig/stored-zip.ts";
import { floats, pickle, tensor, torchFile, type Pickled } from "../rig/torch-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-checkpoints-"));
});
afterAll(() => rm(folder, { recursive: true }));

let files = 0;
async function file(content: Uint8Array | string): Promise<string> {
  const path = join(folder, `file-${files++}`);
  await writeFile(path, content);
  return path;
}

const six = floats(0, 1, 2, 3, 4, 5);
const matrix = (view: Partial<Parameters<typeof tensor>[0]> = {}): Pickled =>
  tensor({ key: "0", count: 6, shape: [2, 3], ...view });
const named = (entries: Readonly<Record<string, Pickled>>): Pickled => new Map(Object.entries(entries));

describe("readCheckpoint", () => {
  it("reads tensors, and views of shared storage as tensors of their own", async () => {
    const path = await file(
      torchFile(
        named({
          whole: matrix(),
          transposed: matrix({ shape: [3, 2], stride: [1, 3] }),
          column: matrix({ shape: [2], stride: [3], offset: 1 }),
          repeated: matrix({ shape: [2, 2], stride: [0, 1] }),
          scalar: matrix({ shape: [], offset: 5 }),
          empty: matrix({ shape: [0, 3] }),
        }),
        { 0: six },
      ),
    );
    const { tensors } = await readCheckpoint(path);
    expect([...tensors].map(([name, { shape, data }]) => [name, shape, [...data]])).toEqual([
      ["whole", [2, 3], [0, 1, 2, 3, 4, 5]],
      ["transposed", [3, 2], [0, 3, 1, 4, 2, 5]],
      ["column", [2], [1, 4]],
      ["repeated", [2, 2], [0, 1, 0, 1]],
      ["scalar", [], [5]],
      ["empty", [0, 3], []],
    ]);
    expect((await readCheckpointShapes(path)).get("transposed")).toEqual([3, 2]);
  });

  it("finds the weights in what training scripts wrap them in", async () => {
    const weights = named({ w: matrix() });
    const optimizer = named({ state: new Map() });
    const wrapped: [Pickled, string[], string[]][] = [
      [named({ epoch: 3, state_dict: weights, optimizer }), ["state_dict"], ["epoch", "optimizer"]],
      [named({ model: named({ module: weights }), lr: 1 }), ["model", "module"], ["lr"]],
      [named({ visual_encoder: weights, args: named({ seed: 1 }) }), ["visual_encoder"], ["args"]],
    ];
    for (const [value, wrapper, beside] of wrapped) {
      const checkpoint = await openCheckpoint(await file(torchFile(value, { 0: six })));
      await checkpoint.close();
      expect(checkpoint).toMatchObject({ container: "torch-zip", wrapper, beside });
      expect([...checkpoint.tensors.keys()]).toEqual(["w"]);
    }
  });

  it("tells the container by content, not by name", async () => {
    const path = join(folder, "really-safetensors.pt");
    await writeSafetensors(path, [["w", { shape: [2], data: Float64Array.of(0.1, 0.2) }]]);
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.container).toBe("safetensors");
    expect((await checkpoint.read("w")).data).toEqual(Float64Array.of(0.1, 0.2));
    await checkpoint.close();
  });

  it("reads the modules of a TorchScript archive as a state dict", async () => {
    const script = (attributes: Readonly<Record<string, Pickled>>): Buffer =>
      Buffer.concat([
        pickle({ call: { global: "__torch__.Model" }, args: [] }).subarray(2, -1),
        pickle(named(attributes)).subarray(2, -1),
        Buffer.from("b"),
      ]);
    const inner = script({ weight: matrix() });
    const outer = Buffer.concat([
      pickle({ call: { global: "__torch__.Outer" }, args: [] }).subarray(0, -1),
      Buffer.from("}(X\u0006\u0000\u0000\u0000visual", "latin1"),
      inner,
      Buffer.from("ub.", "latin1"),
    ]);
    const path = await file(
      storedZip({ "m/data.pkl": outer, "m/constants.pkl": "", "m/data/0": six, "m/code/x.py": "" }),
    );
    expect([...(await readCheckpointShapes(path))]).toEqual([["visual.weight", [2, 3]]]);
  });
});

describe("what a checkpoint may not ask for", () => {
  const refused = async (content: Uint8Array | string): Promise<string> => {
    const path = await file(content);
    const error: unknown = await readCheckpoint(path).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: "NodeError", message: expect.stringContaining(path) });
    expect((error as { hint?: string }).hint).toMatch(/\w/);
    return (error as Error).message.replace(path, "FILE");
  };

  it.each([
    "os.system",
    "builtins.eval",
    "posix.system",
    "torch.load",
    "numpy.core.multiarray.scalar",
    "__torch__.Model",
  ])("a pickle that names %s is refused, with the name", async (name) => {
    const attack = { call: { global: name }, args: ["touch /tmp/owned"] };
    expect(await refused(torchFile(named({ w: matrix(), x: attack }), { 0: six }))).toBe(
      `FILE cannot be read as a checkpoint: its pickle asks for ${name}, and only weights are read`,
    );
  });

  it("names of JavaScript's own mean nothing", async () => {
    expect(await refused(torchFile({ call: { global: "constructor.constructor" }, args: ["1"] }))).toContain(
      "asks for constructor.constructor",
    );
    const { tensors } = await readCheckpoint(
      await file(torchFile(named({ __proto__x: matrix(), constructor: matrix() }), { 0: six })),
    );
    expect([...tensors.keys()]).toEqual(["__proto__x", "constructor"]);
  });

  it.each<[string, Pickled, RegExp]>([
    ["a call of a number", { call: 3, args: [] }, /name that may be called was expected/],
    [
      "a call of a storage type",
      { call: { global: "torch.FloatStorage" }, args: [6] },
      /calls torch.FloatStorage/,
    ],
    ["a storage of another kind", { persistent: ["module", "x"] }, /names a storage in a way/],
    [
      "2^40 values in 24 bytes",
      matrix({ count: 2 ** 40 }),
      /storage 0 should hold 1099511627776 values of F32 and has 24/,
    ],
    ["a view past its storage", matrix({ offset: 1 }), /reaches element 6 of a storage of 6/],
    [
      "2^40 values by repetition",
      matrix({ shape: [2 ** 40], stride: [0] }),
      /would take 4398046511104 bytes, more than 8 times/,
    ],
    ["a negative size", matrix({ shape: [-1, 3] }), /describes a tensor in a way/],
    ["a missing storage", matrix({ key: "9" }), /storage 9 is missing/],
    ["no tensors", named({ epoch: 3 }), /holds no tensors by name; its keys are epoch/],
  ])("%s", async (_, value, message) => {
    expect(await refused(torchFile(value, { 0: six }))).toMatch(message);
  });

  it("archives that are compressed, damaged, cut, or of something else", async () => {
    const good = torchFile(named({ w: matrix() }), { 0: six });
    const changed = Buffer.from(good);
    changed.writeUInt8(changed[changed.indexOf(six)]! ^ 1, changed.indexOf(six) + 3);
    expect(await refused(changed)).toMatch(
      /entry model\/data\/0 is damaged: the bytes are not those of its checksum/,
    );
    const part = torchFile(named({ w: matrix({ shape: [2] }) }), { 0: six });
    part.writeUInt8(1, part.indexOf(six) + 20);
    expect(await refused(part)).toMatch(/model\/data\/0 is damaged/);
    expect(await refused(good.subarray(0, good.length - 30))).toMatch(/not a zip archive that can be read/);
    expect(await refused(storedZip({ "readme.txt": "hello" }))).toMatch(/none that torch.save wrote/);
    expect(await refused(bomb())).toMatch(
      /data\.pkl is compressed \(\d+ bytes to 1000000000\), which torch\.save does not do/,
    );
    expect(await refused(overlapping())).toMatch(
      /entry m\/data\/1 claims 900 bytes, which the file of \d+ has not/,
    );
  });

  it("the same of files before 1.6", async () => {
    const { tensors } = await readCheckpoint(await file(legacyFile(named({ w: matrix() }), 6)));
    expect([...(tensors.get("w")?.data ?? [])]).toEqual([0, 1, 2, 3, 4, 5]);
    const attack = { call: { global: "os.system" }, args: ["touch /tmp/owned"] };
    expect(await refused(legacyFile(named({ w: matrix(), x: attack }), 6))).toMatch(
      /its pickle asks for os\.system/,
    );
    expect(await refused(legacyFile(named({ w: matrix() }), 2 ** 40))).toMatch(
      /truncated: the storage 0 ends at byte 439804651\d+ of \d+$/,
    );
    expect(await refused(legacyFile(named({ w: matrix({ shape: [2 ** 40], stride: [0] }) }), 6))).toMatch(
      /would take 4398046511104 bytes, more than 8 times/,
    );
  });

  it("pickles that are damaged or cut", async () => {
    const whole = pickle(named({ w: matrix() }));
    for (const bytes of [
      whole.subarray(0, -1),
      Buffer.from([0x80, 2, 0x52]),
      Buffer.from([0x80, 2, 0x75]),
      Buffer.from([0x80, 2, 0x68, 9]),
      Buffer.from([0x80, 9]),
      Buffer.from([0x80, 2, 0x00]),
      Buffer.from([0x80, 2, 0x8d, 255, 255, 255, 255, 255, 255, 255, 127]),
    ])
      expect(await refused(storedZip({ "m/data.pkl": bytes }))).toMatch(
        /cannot be read as a checkpoint: its pickle/,
      );
    expect(await refused(pickle(3))).toMatch(/a Python pickle, but none that torch\.save wrote/);
  });

  it.each<[string, Uint8Array | string, RegExp]>([
    ["nothing", "", /is empty \(0 bytes\)/],
    ["a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", /pointer of Git LFS/],
    ["a web page", "<!DOCTYPE html><html>Sign in</html>", /web page/],
    ["gzip", gzipSync("x".repeat(100)), /compressed with gzip/],
    ["text", "some text that is no checkpoint", /neither safetensors nor a file of torch\.save/],
  ])("%s is told apart", async (_, content, message) => {
    expect(await refused(content)).toMatch(message);
  });

  it("safetensors of 2^40 elements, or on the same bytes", async () => {
    const header = (tensors: object): Buffer => {
      const text = Buffer.from(JSON.stringify(tensors));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.length));
      return Buffer.concat([length, text, Buffer.alloc(16)]);
    };
    const huge = { dtype: "F32", shape: [2 ** 20, 2 ** 20], data_offsets: [0, 2 ** 42] };
    expect(await refused(header({ huge }))).toMatch(
      /truncated: tensor "huge" lies at bytes 0 to 4398046511104/,
    );
    const wrapped = { dtype: "F32", shape: [2 ** 40, 2 ** 40], data_offsets: [0, 16] };
    expect(await refused(header({ wrapped }))).toMatch(/its offsets are 0 to 16/);
    const a = { dtype: "F32", shape: [4], data_offsets: [0, 16] };
    expect(await refused(header({ a, b: { ...a, shape: [2], data_offsets: [8, 16] } }))).toMatch(
      /its tensors overlap: "a" and "b" lie on the same bytes/,
    );
  });
});

/** An archive whose pickle unpacks from a few bytes to 1 GB, as it claims. */
function bomb(): Buffer {
  const packed = deflateRawSync(Buffer.alloc(1000));
  const zip = storedZip({ "m/data.pkl": packed });
  // Method and uncompressed size, in the local header and in the directory.
  for (const [signature, at] of [
    ["PK\u0003\u0004", 8],
    ["PK\u0001\u0002", 10],
  ] as const) {
    const header = zip.indexOf(signature, 0, "latin1");
    zip.writeUInt16LE(8, header + at);
    zip.writeUInt32LE(1_000_000_000, header + at + 14);
  }
  return zip;
}

/** A file of torch.save before 1.6, whose one storage says that it has `count` values. */
function legacyFile(value: Pickled, count: number): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(count));
  const before: Pickled[] = [0x1950a86a20f9469cfc6cn, 1001, named({ little_endian: true }), value, ["0"]];
  return Buffer.concat([...before.map(pickle), length, six]);
}

/** An archive of three storages that lie on the same bytes: a small file that stands for a large one. */
function overlapping(): Buffer {
  const files = { "m/data.pkl": pickle(named({ w: matrix() })), "m/data/0": Buffer.alloc(900) };
  const zip = storedZip({ ...files, "m/data/1": "", "m/data/2": "" });
  const directory = zip.indexOf("PK\u0001\u0002", 0, "latin1");
  const entryOf = (name: string): number => zip.indexOf(name, directory) - 46;
  const first = entryOf("m/data/0");
  for (const name of ["m/data/1", "m/data/2"]) {
    const entry = entryOf(name);
    // Checksum, both sizes, and the place of the local header.
    zip.copy(zip, entry + 16, first + 16, first + 28);
    zip.copy(zip, entry + 42, first + 42, first + 46);
  }
  return zip;
}
