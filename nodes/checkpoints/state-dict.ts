import { PickleError } from "./pickle-bytes.ts";
import { ScriptObject, TorchTensor } from "./torch-world.ts";

/** The tensors of an unpickled checkpoint. */
export interface StateDict {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Keys that lead from the file's root to them: `["state_dict"]` of a training checkpoint. */
  readonly wrapper: readonly string[];
  /** What else lies beside them on that way: `epoch`, `optimizer`. */
  readonly beside: readonly string[];
}

/** Keys under which training scripts keep a model's weights, best first. */
const wrapperKeys = ["state_dict", "model_state_dict", "model", "module", "net", "network", "weights"];

/** What a file of one bare tensor calls it. */
const bareTensor = "tensor";

/** No model has as many; a file whose modules hold each other over and over would. */
const mostTensors = 200_000;

/**
 * Finds the weights in what a checkpoint unpickles to: a dictionary of tensors, one that a training script wrapped,
 * the modules of a TorchScript archive, or a single tensor (named `tensor`).
 *
 * @throws PickleError where there are none
 */
export function findStateDict(root: unknown): StateDict {
  if (root instanceof TorchTensor) return { tensors: new Map([[bareTensor, root]]), wrapper: [], beside: [] };
  if (root instanceof ScriptObject) {
    const tensors = new Map<string, TorchTensor>();
    flatten(root, [], tensors);
    return { tensors, wrapper: [], beside: [] };
  }
  const wrapper: string[] = [];
  const beside: string[] = [];
  let current = root;
  while (current instanceof Map) {
    const entries = [...(current as Map<unknown, unknown>)];
    const tensors = entries.filter((entry): entry is [string, TorchTensor] => isNamedTensor(entry));
    const others = entries.filter((entry) => !isNamedTensor(entry)).map(([key]) => String(key));
    if (tensors.length > 0) {
      beside.push(...others);
      return { tensors: new Map(tensors), wrapper, beside };
    }
    const key = wrappingKey(current);
    if (key === undefined) break;
    wrapper.push(key);
    beside.push(...others.filter((other) => other !== key));
    current = current.get(key);
  }
  throw new PickleError(`it holds no tensors by name${describe(root)}`);
}

function isNamedTensor([key, value]: readonly [unknown, unknown]): boolean {
  return typeof key === "string" && value instanceof TorchTensor;
}

/** The key under which the weights lie: a usual one, else the only one that holds tensors. */
function wrappingKey(dictionary: ReadonlyMap<unknown, unknown>): string | undefined {
  const usual = wrapperKeys.find((key) => dictionary.get(key) instanceof Map);
  if (usual !== undefined) return usual;
  const holding = [...dictionary].filter(
    (entry): entry is [string, unknown] =>
      typeof entry[0] === "string" &&
      entry[1] instanceof Map &&
      [...(entry[1] as Map<unknown, unknown>)].some(isNamedTensor),
  );
  return holding.length === 1 ? holding[0]?.[0] : undefined;
}

function describe(root: unknown): string {
  if (!(root instanceof Map)) return "";
  const keys = [...root.keys()].slice(0, 12).map(String);
  return `; its keys are ${keys.join(", ") || "none"}`;
}

/** Names of a TorchScript archive are the way through its modules, as in a state dict. */
function flatten(
  object: ScriptObject,
  way: readonly string[],
  into: Map<string, TorchTensor>,
  above: readonly ScriptObject[] = [],
): void {
  if (above.includes(object)) return;
  for (const [key, value] of object.attributes) {
    if (typeof key !== "string") continue;
    const name = [...way, key];
    if (value instanceof TorchTensor) into.set(name.join("."), value);
    else if (value instanceof ScriptObject) flatten(value, name, into, [...above, object]);
    if (into.size > mostTensors) throw new PickleError(`it holds more than ${mostTensors} tensors`);
  }
}
