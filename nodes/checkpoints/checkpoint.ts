import { NodeError } from "../../engine/sdk.ts";
import {
  readSafetensorsEntry,
  readSafetensorsHeader,
  type SafetensorsFile,
  type StoredTensor,
} from "../safetensors.ts";
import { recogniseContainer } from "./container.ts";
import { bytesOf, decodeTensor, elements, type Dtype } from "./dtypes.ts";
import { openFile, type OpenFile } from "./file.ts";
import { PickleError } from "./pickle-bytes.ts";
import { openTorchLegacy } from "./torch-legacy.ts";
import { openTorchZip, type TorchFile } from "./torch-zip.ts";
import { gather, isContiguous, reach } from "./views.ts";

/** A tensor of a checkpoint before its values are read. */
export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** How a checkpoint file is packed: `torch-zip` since PyTorch 1.6, `torch-legacy` before, `torch-script` by torch.jit.save. */
export type Container = "safetensors" | TorchFile["container"];

/** A checkpoint file, open. */
export interface Checkpoint {
  readonly container: Container;
  /** Bytes. */
  readonly size: number;
  /** By the names in the file, prefixes included, in its order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Keys that lead from the file's root to the tensors: `["state_dict"]` of a training checkpoint. */
  readonly wrapper: readonly string[];
  /** What else lies beside them: `epoch`, `optimizer_state_dict`. */
  readonly beside: readonly string[];
  /** Reads one tensor. Half precisions are widened to float32; views become tensors of their own. */
  read(name: string): Promise<StoredTensor>;
  close(): Promise<void>;
}

/**
 * Opens a checkpoint of safetensors or PyTorch, told by its content. Names, types and shapes are known at once; values
 * are read tensor by tensor, so that a file of gigabytes needs the memory of one tensor.
 *
 * @throws NodeError where the file is none of these, is damaged, or asks for more than weights
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const file = await openFile(path);
  try {
    switch (await recogniseContainer(file)) {
      case "safetensors":
        return await safetensorsCheckpoint(file);
      case "zip":
        return torchCheckpoint(file, await openTorchZip(file));
      case "pickle":
        return torchCheckpoint(file, await openTorchLegacy(file));
    }
  } catch (error) {
    await file.handle.close();
    throw explained(path, error);
  }
}

/**
 * Reads a checkpoint whole, whatever its container: what `readSafetensors` gives for a safetensors file.
 *
 * @throws NodeError as `openCheckpoint`
 */
export async function readCheckpoint(path: string): Promise<SafetensorsFile> {
  const checkpoint = await openCheckpoint(path);
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const name of checkpoint.tensors.keys()) tensors.set(name, await checkpoint.read(name));
    return { tensors, metadata: checkpoint.metadata };
  } finally {
    await checkpoint.close();
  }
}

/** Names and shapes of a checkpoint, without its values: enough to recognise an architecture. */
export async function readCheckpointShapes(path: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const checkpoint = await openCheckpoint(path);
  await checkpoint.close();
  return new Map([...checkpoint.tensors].map(([name, { shape }]) => [name, shape]));
}

async function safetensorsCheckpoint(file: OpenFile): Promise<Checkpoint> {
  const { entries, metadata } = await readSafetensorsHeader(file);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  return {
    container: "safetensors",
    size: file.size,
    tensors: byName,
    metadata,
    wrapper: [],
    beside: [],
    read: (name) => readSafetensorsEntry(file, known(byName, name)),
    close: () => file.handle.close(),
  };
}

function torchCheckpoint(file: OpenFile, torch: TorchFile): Checkpoint {
  checkSizes(torch, file.size);
  const tensors = new Map(
    [...torch.tensors].map(([name, { storage, shape }]) => [name, { dtype: storage.dtype, shape }]),
  );
  return {
    container: torch.container,
    size: file.size,
    tensors,
    metadata: {},
    wrapper: torch.wrapper,
    beside: torch.beside,
    async read(name) {
      const tensor = known(torch.tensors, name);
      const { begin, end } = reach(tensor);
      try {
        const range = decodeTensor(await torch.readStorage(tensor.storage, begin, end), tensor.storage.dtype);
        const data = isContiguous(tensor) ? range : gather(range, tensor);
        return { shape: tensor.shape, data };
      } catch (error) {
        throw explained(file.path, error);
      }
    },
    close: () => file.handle.close(),
  };
}

/**
 * Views may repeat values (tied weights, expanded buffers), and a file of a few bytes could stand for any amount of
 * memory that way.
 */
function checkSizes({ tensors }: TorchFile, size: number): void {
  let total = 0;
  for (const { storage, shape } of tensors.values()) total += elements(shape) * bytesOf[storage.dtype];
  if (total > mostRepeated * size)
    throw new PickleError(
      `its tensors would take ${total} bytes, more than ${mostRepeated} times those of the file (${size})`,
    );
}

const mostRepeated = 8;

function known<T>(tensors: ReadonlyMap<string, T>, name: string): T {
  const found = tensors.get(name);
  if (found === undefined) throw new Error(`internal error: no tensor ${name}`);
  return found;
}

/** An error of a reader with the file's name and what to do. */
function explained(path: string, error: unknown): unknown {
  if (!(error instanceof PickleError)) return error;
  return new NodeError(`${path} cannot be read as a checkpoint: ${error.message}`, {
    hint: "Save the weights alone, with torch.save(model.state_dict(), FILE) or as safetensors, or download the file again.",
    cause: error,
  });
}
