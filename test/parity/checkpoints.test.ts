import { describe, expect, it } from "vitest";
import { openCheckpoint, readCheckpoint } from "../../nodes/checkpoints/checkpoint.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import { goldenCases, goldenFile, goldenJson } from "../rig/golden.ts";

interface Expected {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly values: readonly (number | boolean | string)[];
}

const dtypes: Readonly<Record<string, string>> = {
  float16: "F16",
  bfloat16: "BF16",
  float32: "F32",
  float64: "F64",
  int32: "I32",
  int64: "I64",
  uint8: "U8",
  bool: "BOOL",
};

const [golden] = goldenCases("models/formats");
const skipped = golden ? "" : " (skipped: no golden cases)";

/** A tensor's values as the golden file writes them: truth values as such, 64-bit integers as text. */
function written({ data }: StoredTensor, dtype: string): unknown[] {
  const values: unknown[] = [...data];
  if (dtype === "bool") return values.map((value) => value === 1);
  return values.map((value) => (typeof value === "bigint" ? String(value) : value));
}

describe.skipIf(!golden)(`checkpoint containers${skipped}`, () => {
  const expected = golden ? goldenJson<Record<string, Expected>>(golden, "expected") : {};

  it.each([
    ["pt_state_dict", "torch-zip", "", []],
    ["pt_wrapped", "torch-zip", "", ["state_dict"]],
    ["pt_module_prefix", "torch-zip", "module.", []],
    ["pt_legacy_tar", "torch-legacy", "", []],
    ["safetensors_mixed", "safetensors", "", []],
  ])("%s holds every tensor to the bit", async (role, container, prefix, wrapper) => {
    const path = goldenFile(golden!, role);
    const { tensors } = await readCheckpoint(path);
    expect([...tensors.keys()].toSorted()).toEqual(
      Object.keys(expected)
        .map((name) => prefix + name)
        .toSorted(),
    );
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint).toMatchObject({ container, wrapper });
    for (const [name, { shape, dtype, values }] of Object.entries(expected)) {
      const tensor = tensors.get(prefix + name)!;
      expect(checkpoint.tensors.get(prefix + name)).toMatchObject({ dtype: dtypes[dtype], shape });
      expect({ name, shape: tensor.shape, values: written(tensor, dtype) }).toEqual({ name, shape, values });
    }
    await checkpoint.close();
  });

  it("pt_bare_tensor is one tensor", async () => {
    const { tensors } = await readCheckpoint(goldenFile(golden!, "pt_bare_tensor"));
    const { shape, values } = expected["v.shared"]!;
    expect([...tensors.keys()]).toEqual(["tensor"]);
    expect({ shape: tensors.get("tensor")!.shape, values: [...tensors.get("tensor")!.data] }).toEqual({
      shape,
      values,
    });
  });

  it("pt_wrapped says what lies beside the weights", async () => {
    const checkpoint = await openCheckpoint(goldenFile(golden!, "pt_wrapped"));
    await checkpoint.close();
    expect(checkpoint.beside).toEqual(["epoch", "optimizer_state_dict"]);
  });
});
