import { headAttention, headAttentionBackward, joinHeads, splitHeads } from "./attention.ts";
import type { AttentionSaved } from "./attention.ts";
import type { BlockNames } from "./block-names.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import type { LinearNames } from "./linear.ts";
import { freeMlp, mlp, mlpBackward } from "./mlp.ts";
import type { MlpSaved } from "./mlp.ts";
import type { Ops, Tensor } from "./ops.ts";
import { parameter } from "./parameters.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

/** Which token of each sequence a tower reads after its last block. */
export interface Pooling {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly quickGelu: boolean;
  /** Of the layer norms; 1e-5 where absent. */
  readonly epsilon: number | undefined;
  /** Row of the token in [B·N, W], int32 [B]. */
  readonly rows: Tensor;
  /** 1 at the token, [B, N, 1]. */
  readonly place: Tensor;
  /** Added to the scores [B·H, 1, N]; absent where the token sees every other. */
  readonly mask: Tensor | undefined;
}

/**
 * @param options.positions the token's position in each sequence
 * @param options.causal the token sees itself and what comes before only
 */
export function createPooling(
  ops: Ops,
  {
    positions,
    tokens,
    heads,
    quickGelu,
    epsilon,
    causal,
  }: {
    positions: readonly number[];
    tokens: number;
    heads: number;
    quickGelu: boolean;
    epsilon?: number;
    causal: boolean;
  },
): Pooling {
  const batch = positions.length;
  const place = new Float32Array(batch * tokens);
  const mask = new Float32Array(batch * heads * tokens);
  positions.forEach((position, index) => {
    place[index * tokens + position] = 1;
    for (let head = 0; head < heads; head++) {
      const row = (index * heads + head) * tokens;
      mask.fill(-1e9, row + position + 1, row + tokens);
    }
  });
  return {
    batch,
    tokens,
    heads,
    quickGelu,
    epsilon,
    rows: ops.tensor(
      Int32Array.from(positions, (position, index) => index * tokens + position),
      [batch],
    ),
    place: ops.tensor(place, [batch, tokens, 1]),
    mask: causal ? ops.tensor(mask, [batch * heads, 1, tokens]) : undefined,
  };
}

/** Activations of a pooled block. */
export interface PooledBlockSaved {
  readonly norm: LayerNormSaved;
  readonly attention: AttentionSaved;
  readonly mlp: MlpSaved;
  readonly linearInputs?: readonly [query: Tensor, keyValue: Tensor, out: Tensor];
}

/**
 * A tower's last block, computed for the one token of each sequence that is read: the same values as `block`
 * followed by picking rows, at a sixth of the work. x [B·N, W] -> [B, W].
 */
export function pooledBlock(
  ops: Ops,
  parameters: Parameters,
  names: BlockNames,
  { x, pooling, keep }: { x: Tensor; pooling: Pooling; keep: Keep },
): { y: Tensor; saved: PooledBlockSaved | undefined } {
  const { batch, heads, rows, quickGelu, epsilon } = pooling;
  const width = x.shape[1] as number;
  return ops.tidy(() => {
    const norm = layerNorm(ops, parameters, names.norm1, x, epsilon);
    const queryInput = ops.gatherRows(norm.y, rows);
    const { query, keyValue } = splitProjection(ops, parameters, names.qkv);
    const q = ops.add(ops.matMul(queryInput, query.weight), query.bias);
    const kv = ops.add(ops.matMul(norm.y, keyValue.weight), keyValue.bias);
    const [k, v] = splitHeads(ops, kv, 2, pooling);
    const attended = headAttention(ops, {
      q: ops.reshape(q, [batch * heads, 1, width / heads]),
      k: k!,
      v: v!,
      mask: pooling.mask,
    });
    const outInput = ops.reshape(attended.y, [batch, width]);
    const middle = ops.add(ops.gatherRows(x, rows), linear(ops, parameters, names.out, outInput));
    const { y, saved } = mlp(ops, parameters, names, { x: middle, quickGelu, epsilon, keep });
    if (keep === "nothing") return { y, saved: undefined };
    const linearInputs = keep === "all" ? { linearInputs: [queryInput, norm.y, outInput] as const } : {};
    return { y, saved: { norm: norm.saved, attention: attended.saved, mlp: saved, ...linearInputs } };
  });
}

/** Backward pass of `pooledBlock`: dy [B, W] -> dx [B·N, W]. Frees what the forward pass saved. */
export function pooledBlockBackward(
  ops: Ops,
  parameters: Parameters,
  names: BlockNames,
  {
    dy,
    saved,
    pooling,
    gradients,
  }: { dy: Tensor; saved: PooledBlockSaved; pooling: Pooling; gradients: Gradients | undefined },
): Tensor {
  const { batch, tokens, heads, quickGelu, place } = pooling;
  const width = dy.shape[1] as number;
  const [queryInput, keyValueInput, outInput] = saved.linearInputs ?? [];
  const made: Gradients | undefined = gradients && new Map();
  /** Rows [B, W] at their tokens' places, zero elsewhere: [B·N, W]. */
  const placed = (x: Tensor): Tensor =>
    ops.reshape(ops.mul(place, ops.reshape(x, [batch, 1, width])), [batch * tokens, width]);
  const { dx } = ops.tidy(() => {
    const dmiddle = mlpBackward(ops, parameters, names, {
      dy,
      saved: saved.mlp,
      quickGelu,
      gradients: made,
    });
    const dout = linearBackward(ops, parameters, names.out, {
      dy: dmiddle,
      x: outInput,
      gradients: made,
    });
    const heads3 = ops.reshape(dout, [batch * heads, 1, width / heads]);
    const { dq, dk, dv } = headAttentionBackward(ops, heads3, saved.attention);
    const dquery = ops.reshape(dq, [batch, width]);
    const dkv = joinHeads(ops, [dk, dv], pooling);
    if (made && queryInput && keyValueInput) {
      const dweights = [
        ops.matMul(queryInput, dquery, true, false),
        ops.matMul(keyValueInput, dkv, true, false),
      ];
      made.set(names.qkv.weight, ops.concat(dweights, 1));
      made.set(names.qkv.bias, ops.concat([ops.sumRows(dquery), ops.sumRows(dkv)], 0));
    }
    const { query, keyValue } = splitProjection(ops, parameters, names.qkv);
    const dnorm = ops.add(
      ops.matMul(dkv, keyValue.weight, false, true),
      placed(ops.matMul(dquery, query.weight, false, true)),
    );
    const dx = ops.add(
      placed(dmiddle),
      layerNormBackward(ops, parameters, names.norm1, { dy: dnorm, saved: saved.norm, gradients: made }),
    );
    return { dx, kept: made ? [...made.values()] : [] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  const { norm, attention: a, linearInputs } = saved;
  ops.dispose(norm.normalised, norm.rstd, a.q, a.k, a.v, a.weights, ...(linearInputs ?? []));
  freeMlp(ops, saved.mlp);
  return dx;
}

/** Frees a pooling. */
export function freePooling(ops: Ops, { rows, place, mask }: Pooling): void {
  ops.dispose(rows, place, mask);
}

/** The query's columns of the joint projection, and those of key and value. */
function splitProjection(
  ops: Ops,
  parameters: Parameters,
  names: LinearNames,
): Record<"query" | "keyValue", { weight: Tensor; bias: Tensor }> {
  const weight = parameter(parameters, names.weight);
  const bias = parameter(parameters, names.bias);
  const width = weight.shape[0];
  const columns = (begin: number, size: number) => ({
    weight: ops.slice(weight, [0, begin], [width, size]),
    bias: ops.slice(bias, [begin], [size]),
  });
  return { query: columns(0, width), keyValue: columns(width, 2 * width) };
}
