import type { Dtype } from "./dtypes.ts";
import { PickleError } from "./pickle-bytes.ts";
import type { PickleGlobal, PickleObject, PickleWorld } from "./unpickle.ts";

/** Memory that tensors lie in: one after the other in the file, several tensors may share it. */
export interface TorchStorage {
  /** Its name in the file. */
  readonly key: string;
  readonly dtype: Dtype;
  /** Number of elements. */
  readonly count: number;
}

/** A view of a storage. Counts are in elements. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];

  constructor(storage: TorchStorage, offset: number, shape: readonly number[], stride: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

/** A module of a TorchScript archive: its attributes, of which tensors and further modules are of interest. */
export class ScriptObject implements PickleObject {
  attributes: ReadonlyMap<unknown, unknown> = new Map();

  setState(state: unknown): void {
    if (state instanceof Map) this.attributes = state;
  }
}

/** A storage type as a value: torch names it in the identity of a storage and never calls it. */
class StorageType {
  readonly name: string;
  readonly dtype: Dtype;

  constructor(name: string, dtype: Dtype) {
    this.name = name;
    this.dtype = dtype;
  }

  call(): never {
    throw new PickleError(`its pickle calls ${this.name}, which torch.save does not do`);
  }
}

const storageDtypes: Readonly<Record<string, Dtype>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

const known: ReadonlyMap<string, PickleGlobal> = new Map(
  [
    { name: "collections.OrderedDict", call: () => new Map() },
    { name: "torch._utils._rebuild_tensor", call: rebuildTensor },
    { name: "torch._utils._rebuild_tensor_v2", call: rebuildTensor },
    // A parameter is its tensor; whether it is trained is not a file's to say.
    { name: "torch._utils._rebuild_parameter", call: ([tensor]: readonly unknown[]) => tensor },
    { name: "torch.Size", call: ([sizes]: readonly unknown[]) => sizes },
    ...Object.entries(storageDtypes).map(([name, dtype]) => new StorageType(`torch.${name}`, dtype)),
  ].map((global) => [global.name, global]),
);

export interface TorchWorld extends PickleWorld {
  persistent(id: unknown): TorchStorage;
}

/** What TorchScript's own pickler writes around lists: the list itself is of interest. */
const scriptContainers = /^torch\.jit\._pickle\.(restore_type_tag|build_\w+)$/;

/**
 * The names that a file of torch.save may use, and those only: dictionaries, tensors, parameters.
 *
 * @param options.script allow the classes of a TorchScript archive as well, as bare bundles of attributes
 */
export function torchWorld(options: { readonly script: boolean }): TorchWorld {
  return {
    global(module, name) {
      const full = `${module}.${name}`;
      const found = known.get(full) ?? (options.script ? scriptGlobal(full) : undefined);
      if (found) return found;
      throw new PickleError(`its pickle asks for ${full}, and only weights are read`);
    },
    persistent: storageOf,
  };
}

function scriptGlobal(name: string): PickleGlobal | undefined {
  if (name.startsWith("__torch__.")) return { name, call: () => new ScriptObject() };
  if (scriptContainers.test(name)) return { name, call: ([list]) => list };
  return undefined;
}

/** ("storage", type, key, device, count), and for the oldest files a sixth member. */
function storageOf(id: unknown): TorchStorage {
  const [kind, type, key, , count, view] = Array.isArray(id) ? (id as unknown[]) : [];
  if (kind !== "storage" || !(type instanceof StorageType) || typeof key !== "string" || !isCount(count))
    throw new PickleError("its pickle names a storage in a way that torch.save does not");
  if (view !== null && view !== undefined)
    throw new PickleError("it shares storages in the way of PyTorch before 0.4");
  return { key, dtype: type.dtype, count };
}

function rebuildTensor(args: readonly unknown[]): TorchTensor {
  const [storage, offset, shape, stride] = args;
  if (!isStorage(storage) || !isCount(offset) || !isCounts(shape) || !isCounts(stride))
    throw new PickleError("its pickle describes a tensor in a way that torch.save does not");
  if (shape.length !== stride.length)
    throw new PickleError("its pickle holds a tensor with a stride too many or too few");
  // The last element that the view reaches; none where a side is 0.
  const last = shape.reduce((at, size, axis) => at + (size - 1) * (stride[axis] as number), offset);
  if (!shape.includes(0) && last >= storage.count)
    throw new PickleError(
      `a tensor of shape [${shape.join(", ")}] reaches element ${last} of a storage of ${storage.count}`,
    );
  return new TorchTensor(storage, offset, shape, stride);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isCounts = (value: unknown): value is readonly number[] => Array.isArray(value) && value.every(isCount);
const isStorage = (value: unknown): value is TorchStorage =>
  typeof value === "object" && value !== null && "dtype" in value && "count" in value && "key" in value;
