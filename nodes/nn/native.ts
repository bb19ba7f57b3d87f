import type { Tensor } from "@tensorflow/tfjs-core";
import type { Runtime } from "../compute/types.ts";

/** An attribute of a TensorFlow operation, as the binding takes it. */
export interface NativeAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** A tensor of the native library outside of tfjs's books: a resource handle, for instance. */
export interface NativeHandle {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

/** What we use of the native library's binding. Attribute types and element types are numbers of its own. */
interface NativeBinding {
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_SHAPE: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_FLOAT: number;
  executeOp(
    name: string,
    attributes: readonly NativeAttribute[],
    inputs: readonly number[],
    outputs: number,
  ): NativeHandle[];
  deleteTensor(id: number): void;
}

interface NativeBackend {
  readonly binding: NativeBinding;
  getInputTensorIds(tensors: readonly Tensor[]): number[];
  createOutputTensor(handle: NativeHandle): Tensor;
}

/** TensorFlow's own operations, for which tfjs has no kernel. Only where the runtime's backend is `tensorflow`. */
export interface Native {
  readonly attribute: {
    float(name: string): NativeAttribute;
    bool(name: string, value: boolean): NativeAttribute;
    shape(name: string, value: readonly number[]): NativeAttribute;
    string(name: string, value: string): NativeAttribute;
  };
  /** Runs an operation with at most one result. */
  run(
    name: string,
    attributes: readonly NativeAttribute[],
    inputs: readonly (Tensor | NativeHandle)[],
    outputs?: 0 | 1,
  ): NativeHandle | undefined;
  /** The same with one result, as a tensor of tfjs. */
  tensor(
    name: string,
    attributes: readonly NativeAttribute[],
    inputs: readonly (Tensor | NativeHandle)[],
  ): Tensor;
  free(handle: NativeHandle): void;
}

/** The native library of a runtime, or undefined where it computes on something else. */
export function nativeOf({ tf, backend }: Runtime): Native | undefined {
  if (backend !== "tensorflow") return undefined;
  const kernels = tf.backend() as unknown as NativeBackend;
  const { binding } = kernels;
  const idOf = (input: Tensor | NativeHandle): number =>
    "id" in input && !("dataId" in input) ? input.id : (kernels.getInputTensorIds([input])[0] ?? -1);
  const run: Native["run"] = (name, attributes, inputs, outputs = 1) =>
    binding.executeOp(name, attributes, inputs.map(idOf), outputs)[0];
  return {
    attribute: {
      float: (name) => ({ name, type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT }),
      bool: (name, value) => ({ name, type: binding.TF_ATTR_BOOL, value }),
      shape: (name, value) => ({ name, type: binding.TF_ATTR_SHAPE, value }),
      string: (name, value) => ({ name, type: binding.TF_ATTR_STRING, value }),
    },
    run,
    tensor(name, attributes, inputs) {
      const made = run(name, attributes, inputs);
      if (!made) throw new Error(`internal error: ${name} gave no result`);
      return kernels.createOutputTensor(made);
    },
    free: ({ id }) => binding.deleteTensor(id),
  };
}
