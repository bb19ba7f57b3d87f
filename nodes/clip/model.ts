import { NodeError } from "../../engine/sdk.ts";
import type { Runtime } from "../compute/types.ts";
import { opsOf } from "../nn/ops.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import type { ClipConfig } from "./config.ts";
import { toCheckpointLayout, toComputeLayout } from "./layout.ts";
import { stateShapes } from "./shapes.ts";
import type { ClipState, FloatTensor } from "./weights.ts";

/** A CLIP whose parameters live on a backend, in compute layout. */
export interface ClipModel {
  readonly ops: Ops;
  readonly config: ClipConfig;
  readonly parameters: Map<string, Tensor>;
  /** In training, compute blocks again on the way back; see `BlockShape`. */
  readonly recompute?: boolean;
}

/** Puts a checkpoint's parameters on a backend. Free them with `disposeClipModel`. */
export function createClipModel(runtime: Runtime, config: ClipConfig, state: ClipState): ClipModel {
  const ops = opsOf(runtime);
  const parameters = new Map<string, Tensor>();
  for (const [name, stored] of state) {
    const { data, shape } = toComputeLayout(name, stored);
    parameters.set(name, runtime.tf.keep(ops.tensor(data, shape)));
  }
  return { ops, config, parameters };
}

/** The parameters of a model as a checkpoint holds them. */
export function modelState(model: ClipModel): ClipState {
  const state = new Map<string, FloatTensor>();
  for (const [name, shape] of stateShapes(model.config)) {
    const values = model.parameters.get(name);
    if (!values) throw new Error(`internal error: the model has no parameter ${name}`);
    state.set(name, toCheckpointLayout(name, model.ops.read(values), shape));
  }
  return state;
}

/** exp(logit_scale): the inverse temperature. */
export function inverseTemperature(model: ClipModel): number {
  const scale = model.parameters.get("logit_scale");
  if (!scale) throw new NodeError("the model has no logit_scale");
  return Math.exp(model.ops.read(scale)[0] as number);
}

/** Frees a model's parameters. */
export function disposeClipModel(model: ClipModel): void {
  for (const tensor of model.parameters.values()) tensor.dispose();
  model.parameters.clear();
}
