import { storedZip } from "./stored-zip.ts";

/** What a pickle of the tests is made of. Arrays are tuples. */
export type Pickled =
  | null
  | number
  | bigint
  | string
  | boolean
  | readonly Pickled[]
  | ReadonlyMap<Pickled, Pickled>
  | { readonly global: string }
  | { readonly call: Pickled; readonly args: Pickled }
  | { readonly persistent: Pickled };

/** A pickle of protocol 2, as Python would write it (without memo). */
export function pickle(value: Pickled): Buffer {
  return Buffer.concat([Buffer.from([0x80, 2]), encode(value), Buffer.from(".")]);
}

/** A tensor as torch.save describes it: a view of a float storage, or of another type. */
export function tensor(view: {
  readonly key: string;
  readonly count: number;
  readonly shape: readonly number[];
  readonly stride?: readonly number[];
  readonly offset?: number;
  readonly type?: string;
}): Pickled {
  const { key, count, shape, offset = 0, type = "FloatStorage" } = view;
  const stride = view.stride ?? shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const storage = { persistent: ["storage", { global: `torch.${type}` }, key, "cpu", count] };
  const hooks = { call: { global: "collections.OrderedDict" }, args: [] };
  return {
    call: { global: "torch._utils._rebuild_tensor_v2" },
    args: [storage, offset, shape, stride, false, hooks],
  };
}

/** A file of torch.save: a pickle, and storages by key. */
export function torchFile(value: Pickled, storages: Readonly<Record<string, Uint8Array>> = {}): Buffer {
  const data = Object.fromEntries(
    Object.entries(storages).map(([key, bytes]) => [`model/data/${key}`, bytes]),
  );
  return storedZip({ "model/data.pkl": pickle(value), "model/byteorder": "little", ...data });
}

/** Bytes of float32 values. */
export function floats(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

function encode(value: Pickled): Buffer {
  if (value === null) return Buffer.from("N");
  if (typeof value === "boolean") return Buffer.from([value ? 0x88 : 0x89]);
  if (typeof value === "number" && value <= 0x7fffffff)
    return counted("J", 4, (buffer) => buffer.writeInt32LE(value, 1));
  if (typeof value === "number" || typeof value === "bigint") {
    const hex = BigInt(value).toString(16);
    const bytes = Buffer.from(hex.padStart(2 * Math.ceil((hex.length + 1) / 2), "0"), "hex").toReversed();
    return Buffer.concat([Buffer.from([0x8a, bytes.length]), bytes]);
  }
  if (typeof value === "string") {
    const text = Buffer.from(value);
    return Buffer.concat([counted("X", 4, (buffer) => buffer.writeUInt32LE(text.length, 1)), text]);
  }
  if (Array.isArray(value)) return bracketed("(", (value as readonly Pickled[]).map(encode), "t");
  if (value instanceof Map)
    return Buffer.concat([Buffer.from("}"), bracketed("(", [...value].flat().map(encode), "u")]);
  if ("global" in value) {
    const dot = value.global.lastIndexOf(".");
    return Buffer.from(`c${value.global.slice(0, dot)}\n${value.global.slice(dot + 1)}\n`);
  }
  if ("call" in value) return Buffer.concat([encode(value.call), encode(value.args), Buffer.from("R")]);
  return Buffer.concat([encode((value as { persistent: Pickled }).persistent), Buffer.from("Q")]);
}

function bracketed(before: string, items: readonly Buffer[], after: string): Buffer {
  return Buffer.concat([Buffer.from(before), ...items, Buffer.from(after)]);
}

function counted(code: string, bytes: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(1 + bytes);
  buffer.write(code, "latin1");
  write(buffer);
  return buffer;
}
