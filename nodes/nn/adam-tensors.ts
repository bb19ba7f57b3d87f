import { adamwState, adamwStep } from "./adamw.ts";
import type { AdamWOptions } from "./adamw.ts";
import { nativeOf } from "./native.ts";
import type { Native, NativeHandle } from "./native.ts";
import type { Ops, Tensor } from "./ops.ts";

/** What Adam keeps of one parameter, on the host. */
export interface AdamValues {
  readonly parameter: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** A step that all parameters take. */
export interface AdamStep {
  /** Decoupled weight decay of a parameter; 0 for none. */
  decayOf(name: string): number;
  /** Weight decay that goes through the gradients; 0 for none. */
  readonly coupled: number;
  readonly learningRate: number;
  /** 1-based. */
  readonly step: number;
}

/** The tensors that Adam moves, with their moments, where the backend keeps them best. */
export interface AdamTensors {
  /** Moves parameters in the model, and their moments; each gradient is freed as soon as it was used. */
  update(gradients: ReadonlyMap<string, Tensor>, step: AdamStep): void;
  /** Σ g². */
  squaredNorm(gradient: Tensor): number;
  /** A parameter without its moments; may share memory. */
  value(name: string): Float32Array;
  /** What is kept of a parameter; may share memory. */
  read(name: string): AdamValues;
  /** Puts values back, bit for bit. */
  write(name: string, values: AdamValues): void;
  dispose(): void;
}

/** Up to as many, a pass over plain arrays takes less time than the library's calls for each tensor. */
const fewNumbers = 2 ** 16;

/**
 * @param parameters of the model; their tensors are replaced as they move
 * @param names of those that are trained
 */
export function adamTensors(
  ops: Ops,
  parameters: Map<string, Tensor>,
  names: readonly string[],
  options: AdamWOptions,
): AdamTensors {
  const native = nativeOf(ops.runtime);
  const numbers = names.reduce((sum, name) => sum + tensorOf(parameters, name).size, 0);
  return native && numbers > fewNumbers
    ? nativeTensors(ops, native, parameters, names, options)
    : hostTensors(ops, parameters, names, options);
}

/** Values and moments are plain arrays, updated in one pass; the model's tensors follow. */
function hostTensors(
  ops: Ops,
  parameters: Map<string, Tensor>,
  names: readonly string[],
  options: AdamWOptions,
): AdamTensors {
  const values = new Map(names.map((name) => [name, ops.read(tensorOf(parameters, name)).slice()] as const));
  const state = adamwState(new Map([...values].map(([name, data]) => [name, { data, weightDecay: 0 }])));
  const replace = (name: string, data: Float32Array): void => {
    const old = tensorOf(parameters, name);
    parameters.set(name, ops.runtime.tf.keep(ops.tensor(data, old.shape)));
    old.dispose();
  };
  const read = (name: string): AdamValues => {
    const parameter = values.get(name);
    const moments = state.moments.get(name);
    if (!parameter || !moments) throw new Error(`internal error: the optimiser has no parameter ${name}`);
    return { parameter, ...moments };
  };
  return {
    update(gradients, { decayOf, coupled, learningRate, step }) {
      for (const [name, gradient] of gradients) {
        const data = read(name).parameter;
        const g = coupled > 0 ? addScaled(ops.read(gradient), data, coupled) : ops.read(gradient);
        state.step = step - 1;
        const moving = new Map([[name, { data, weightDecay: decayOf(name) }]]);
        adamwStep(moving, new Map([[name, g]]), state, learningRate, options);
        replace(name, data);
        gradient.dispose();
      }
    },
    squaredNorm(gradient) {
      let sum = 0;
      for (const value of ops.read(gradient)) sum += value * value;
      return sum;
    },
    value: (name) => read(name).parameter,
    read,
    write(name, { parameter, first, second }) {
      const own = read(name);
      own.parameter.set(parameter);
      own.first.set(first);
      own.second.set(second);
      replace(name, own.parameter);
    },
    dispose: () => undefined,
  };
}

/** A TensorFlow variable's name under which each handle is one of its own and ends with it. */
const anonymous = "cd2c89b7-88b7-44c8-ad83-06c2a9158347";

/**
 * Values and moments are the native library's variables, which ResourceApplyAdam moves in place: nothing is copied to
 * the host or beside itself. The model's tensors are reads of the variables, which share their memory; they are freed
 * before an update, since a variable that is being read is copied first.
 *
 * ResourceApplyAdam adds epsilon to the uncorrected root: epsilon·√(1 - β₂ᵗ) gives torch's.
 */
function nativeTensors(
  ops: Ops,
  native: Native,
  parameters: Map<string, Tensor>,
  names: readonly string[],
  { beta1, beta2, epsilon }: AdamWOptions,
): AdamTensors {
  const { attribute } = native;
  const float = attribute.float("dtype");
  const T = attribute.float("T");
  const assign = (variable: NativeHandle, value: Tensor): void =>
    void native.run("AssignVariableOp", [float], [variable, value], 0);
  const read = (variable: NativeHandle): Tensor => native.tensor("ReadVariableOp", [float], [variable]);
  /** A variable with a copy of a tensor's values, or zeros: the host's memory must not be moved in place. */
  const variable = (like: Tensor, copy: "DeepCopy" | "ZerosLike"): NativeHandle => {
    const made = native.run(
      "VarHandleOp",
      [
        attribute.string("container", ""),
        attribute.string("shared_name", anonymous),
        float,
        attribute.shape("shape", like.shape),
      ],
      [],
    );
    if (!made) throw new Error("internal error: no variable");
    const value = native.tensor(copy, [T], [like]);
    assign(made, value);
    value.dispose();
    return made;
  };
  /** Lets the model read a variable that has moved. */
  const show = (name: string, from: NativeHandle): void =>
    void parameters.set(name, ops.runtime.tf.keep(read(from)));

  const kept = new Map(
    names.map((name) => {
      const start = tensorOf(parameters, name);
      const made = {
        parameter: variable(start, "DeepCopy"),
        first: variable(start, "ZerosLike"),
        second: variable(start, "ZerosLike"),
      };
      start.dispose();
      show(name, made.parameter);
      return [name, made] as const;
    }),
  );
  const of = (name: string) => {
    const found = kept.get(name);
    if (!found) throw new Error(`internal error: the optimiser has no parameter ${name}`);
    return found;
  };
  const values = (from: NativeHandle): Float32Array => {
    const tensor = read(from);
    const data = ops.read(tensor).slice();
    tensor.dispose();
    return data;
  };
  return {
    update(gradients, { decayOf, coupled, learningRate, step }) {
      ops.tidy(() => {
        const settings = [
          beta1 ** step,
          beta2 ** step,
          learningRate,
          beta1,
          beta2,
          epsilon * Math.sqrt(1 - beta2 ** step),
        ].map((value) => passing(ops, value));
        for (const [name, gradient] of gradients) {
          const { parameter, first, second } = of(name);
          const shown = tensorOf(parameters, name);
          // In float32 a factor so near to 1 is 1, and the pass would change nothing.
          const shrink = Math.fround(1 - learningRate * decayOf(name));
          ops.tidy(() => {
            const g = coupled > 0 ? ops.add(gradient, ops.mul(shown, passing(ops, coupled))) : gradient;
            if (shrink < 1) assign(parameter, ops.mul(shown, passing(ops, shrink)));
            shown.dispose();
            native.run(
              "ResourceApplyAdam",
              [T, attribute.bool("use_locking", false), attribute.bool("use_nesterov", false)],
              [parameter, first, second, ...settings, g],
              0,
            );
          });
          gradient.dispose();
          show(name, parameter);
        }
      });
    },
    squaredNorm(gradient) {
      const half = native.tensor("L2Loss", [T], [gradient]);
      const value = 2 * (ops.read(half)[0] ?? 0);
      half.dispose();
      return value;
    },
    value: (name) => values(of(name).parameter),
    read(name) {
      const { parameter, first, second } = of(name);
      return { parameter: values(parameter), first: values(first), second: values(second) };
    },
    write(name, saved) {
      const { parameter, first, second } = of(name);
      const old = tensorOf(parameters, name);
      const put = (into: NativeHandle, data: Float32Array): void =>
        ops.tidy(() => assign(into, native.tensor("DeepCopy", [T], [ops.tensor(data, old.shape)])));
      put(parameter, saved.parameter);
      put(first, saved.first);
      put(second, saved.second);
      old.dispose();
      show(name, parameter);
    },
    dispose() {
      for (const { parameter, first, second } of kept.values()) {
        for (const handle of [parameter, first, second]) native.free(handle);
      }
      kept.clear();
    },
  };
}

/** A scalar that lives as long as the scope around it: `ops.scalar` keeps its own for ever. */
function passing({ runtime: { tf } }: Ops, value: number): Tensor {
  return tf.scalar(value, "float32");
}

function tensorOf(parameters: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const found = parameters.get(name);
  if (!found) throw new Error(`internal error: the model has no parameter ${name}`);
  return found;
}

function addScaled(a: Float32Array, b: Float32Array, factor: number): Float32Array {
  const result = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = (a[i] as number) + factor * (b[i] as number);
  return result;
}
