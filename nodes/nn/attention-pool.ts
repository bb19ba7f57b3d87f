import { headAttention, headAttentionBackward, mergeHeads, splitHeads } from "./attention.ts";
import type { AttentionSaved } from "./attention.ts";
import { linearNames } from "./block-names.ts";
import { linear, linearBackward } from "./linear.ts";
import type { Ops, Tensor } from "./ops.ts";
import { parameter } from "./parameters.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

/** Activations of `attentionPool`. */
export interface AttentionPoolSaved {
  readonly mapShape: readonly number[];
  readonly attention: AttentionSaved;
  /** The inputs of the linear layers; only where their weights are trained. */
  readonly linearInputs?: readonly [query: Tensor, keyValue: Tensor, out: Tensor];
}

/**
 * CLIP's pooling of a ResNet's map: the mean of all places, a token in front of theirs, attends to them and itself.
 *
 * @param map [B, h, w, C]
 * @returns `pooled` [B, C] and its projection `y` [B, embed_dim]
 */
export function attentionPool(
  ops: Ops,
  parameters: Parameters,
  name: string,
  { map, heads, keep }: { map: Tensor; heads: number; keep: Keep },
): { y: Tensor; pooled: Tensor; saved: AttentionPoolSaved | undefined } {
  const names = namesOf(name);
  const [batch = 0, height = 0, width = 0, channels = 0] = map.shape;
  const places = height * width;
  const shape = { batch, tokens: places + 1, heads };
  return ops.tidy(() => {
    const rows = ops.reshape(map, [batch, places, channels]);
    const mean = ops.reshape(ops.meanLast(ops.transpose(rows, [0, 2, 1])), [batch, 1, channels]);
    const placed = ops.add(ops.concat([mean, rows], 1), parameter(parameters, names.positions));
    const queryInput = ops.reshape(ops.slice(placed, [0, 0, 0], [batch, 1, channels]), [batch, channels]);
    const keyValueInput = ops.reshape(placed, [batch * shape.tokens, channels]);
    const [k] = splitHeads(ops, linear(ops, parameters, names.key, keyValueInput), 1, shape);
    const [v] = splitHeads(ops, linear(ops, parameters, names.value, keyValueInput), 1, shape);
    const attended = headAttention(ops, {
      q: ops.reshape(linear(ops, parameters, names.query, queryInput), [batch * heads, 1, channels / heads]),
      k: k!,
      v: v!,
      mask: undefined,
    });
    const pooled = ops.reshape(attended.y, [batch, channels]);
    const y = linear(ops, parameters, names.out, pooled);
    if (keep === "nothing") return { y, pooled, saved: undefined };
    // A view, so that the caller may free what it was given.
    const out = ops.reshape(pooled, pooled.shape);
    const linearInputs = keep === "all" ? { linearInputs: [queryInput, keyValueInput, out] as const } : {};
    return { y, pooled, saved: { mapShape: map.shape, attention: attended.saved, ...linearInputs } };
  });
}

/** Backward pass of `attentionPool`: dy [B, embed_dim] -> the gradient of the map [B, h, w, C]. Frees `saved`. */
export function attentionPoolBackward(
  ops: Ops,
  parameters: Parameters,
  name: string,
  { dy, saved, gradients }: { dy: Tensor; saved: AttentionPoolSaved; gradients: Gradients | undefined },
): Tensor {
  const names = namesOf(name);
  const [batch = 0, height = 0, width = 0, channels = 0] = saved.mapShape;
  const places = height * width;
  const heads = saved.attention.q.shape[0] / batch;
  const shape = { batch, tokens: places + 1, heads };
  const [queryInput, keyValueInput, outInput] = saved.linearInputs ?? [];
  const made: Gradients | undefined = gradients && new Map();
  const { dmap } = ops.tidy(() => {
    const back = (layer: "query" | "key" | "value" | "out", rows: Tensor, x: Tensor | undefined): Tensor =>
      linearBackward(ops, parameters, names[layer], { dy: rows, x, gradients: made });
    const dpooled = back("out", dy, outInput);
    const perHead = ops.reshape(dpooled, [batch * heads, 1, channels / heads]);
    const { dq, dk, dv } = headAttentionBackward(ops, perHead, saved.attention);
    const dquery = back("query", ops.reshape(dq, [batch, channels]), queryInput);
    const dtokens = ops.add(
      back("key", mergeHeads(ops, dk, shape), keyValueInput),
      back("value", mergeHeads(ops, dv, shape), keyValueInput),
    );
    const dfirst = ops.pad(ops.reshape(dquery, [batch, 1, channels]), [
      [0, 0],
      [0, places],
      [0, 0],
    ]);
    const dplaced = ops.add(ops.reshape(dtokens, [batch, places + 1, channels]), dfirst);
    if (made) {
      const summed = ops.sumRows(ops.reshape(dplaced, [batch, (places + 1) * channels]));
      made.set(names.positions, ops.reshape(summed, [places + 1, channels]));
    }
    const dmean = ops.mul(
      ops.slice(dplaced, [0, 0, 0], [batch, 1, channels]),
      ops.tensor(Float32Array.of(1 / places), [1]),
    );
    const drows = ops.add(ops.slice(dplaced, [0, 1, 0], [batch, places, channels]), dmean);
    return { dmap: ops.reshape(drows, saved.mapShape), kept: [...(made?.values() ?? [])] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  ops.free(saved);
  return dmap;
}

const namesOf = (name: string) => ({
  positions: `${name}.positional_embedding`,
  query: linearNames(`${name}.q_proj`),
  key: linearNames(`${name}.k_proj`),
  value: linearNames(`${name}.v_proj`),
  out: linearNames(`${name}.c_proj`),
});
