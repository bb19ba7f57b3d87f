/**
 * METER's co-attention (Dou et al., CVPR 2022): two streams of transformer layers, one for text and one for image
 * tokens. Each layer attends to its own stream, then to the other stream's output of the layer before, then has an MLP;
 * all post-norm, as in BERT. The fused feature h joins the pooled first tokens of both (METHOD 9).
 */
import { linearNames } from "../nn/block-names.ts";
import { linear, linearBackward } from "../nn/linear.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import { parameter } from "../nn/parameters.ts";
import type { Gradients, Keep, Parameters } from "../nn/parameters.ts";
import type { Dropout } from "../nn/dropout.ts";
import { fusionLayer, fusionLayerBackward } from "./fusion-layer.ts";
import type { FusionLayerSaved, StreamShapes } from "./fusion-layer.ts";
import { streams } from "./fusion-config.ts";
import type { FusionConfig, Stream } from "./fusion-config.ts";

/** A fusion whose parameters live on a backend: matrices are [in, out]. */
export interface FusionModel {
  readonly ops: Ops;
  readonly config: FusionConfig;
  readonly parameters: Parameters;
}

/** The tokens of one stream. */
export interface StreamTokens {
  /** [B·N, width of the stream's encoder] */
  readonly rows: Tensor;
  /** N. */
  readonly tokens: number;
  /** See `keyMask`; absent where every token counts. */
  readonly mask?: Tensor;
  /** Position of the pooled token of each sample. */
  readonly pooled: readonly number[];
}

export type FusionBatch = Readonly<Record<Stream, StreamTokens>>;

/** What `fuseBackward` needs. */
export interface FusionSaved {
  readonly batch: FusionBatch;
  readonly layers: FusionLayerSaved[];
  /** [B, W] of each stream: the pooled token, and what its pooler made of it. */
  readonly pools: Readonly<Record<Stream, { readonly token: Tensor; readonly y: Tensor }>>;
}

export interface Fused {
  /** [B, 2W], text first. */
  readonly h: Tensor;
  /** The tokens after the last layer: [B·N, W] of each stream. */
  readonly tokens: Readonly<Record<Stream, Tensor>>;
  readonly saved: FusionSaved | undefined;
}

/** Fuses the tokens of a batch. The caller frees the result; `saved` is freed by `fuseBackward`. */
export function fuse(
  { config, ops, parameters }: FusionModel,
  batch: FusionBatch,
  { drop, keep }: { readonly keep: Keep; readonly drop: Dropout },
): Fused {
  const shapes = shapesOf(config, batch);
  return ops.tidy(() => {
    let tokens = perStream((stream) => {
      const rows = linear(ops, parameters, transformNames(stream), batch[stream].rows);
      return ops.add(rows, typeRow(ops, parameters, stream));
    });
    const layers: FusionLayerSaved[] = [];
    for (let layer = 0; layer < config.layers; layer++) {
      const next = fusionLayer(ops, parameters, layer, { tokens, shapes, keep, drop });
      if (keep !== "nothing") layers.push(next.saved);
      tokens = next.tokens;
    }
    const pools = perStream((stream) => {
      const token = ops.gatherRows(tokens[stream], pooledRows(ops, batch[stream]));
      return { token, y: ops.tanh(linear(ops, parameters, poolerNames(stream), token)) };
    });
    const h = ops.concat([pools.text.y, pools.image.y], 1);
    return { h, tokens, saved: keep === "nothing" ? undefined : { batch, layers, pools } };
  });
}

/**
 * Backward pass of `fuse`: notes the gradients of all parameters and frees `saved`.
 *
 * @param dh [B, 2W]
 * @returns the gradients of the tokens, [B·N, width of the stream's encoder] each
 */
export function fuseBackward(
  { config, ops, parameters }: FusionModel,
  saved: FusionSaved,
  dh: Tensor,
  gradients: Gradients,
): Readonly<Record<Stream, Tensor>> {
  const { batch, layers, pools } = saved;
  const shapes = shapesOf(config, batch);
  const { width } = config;
  const { dtokens } = ops.tidy(() => {
    let d = perStream((stream, index) => {
      const { token, y } = pools[stream];
      const dy = ops.slice(dh, [0, index * width], [dh.shape[0] ?? 0, width]);
      const dpooler = ops.mul(dy, ops.sub(ops.scalar(1), ops.square(y)));
      const dtoken = linearBackward(ops, parameters, poolerNames(stream), {
        dy: dpooler,
        x: token,
        gradients,
      });
      return ops.scatterRows(dtoken, pooledRows(ops, batch[stream]), shapes[stream].rows);
    });
    for (let layer = config.layers - 1; layer >= 0; layer--) {
      d = fusionLayerBackward(ops, parameters, layer, {
        d,
        saved: layers[layer] as FusionLayerSaved,
        shapes,
        gradients,
      });
    }
    const types = streams.map((stream) => ops.reshape(ops.sumRows(d[stream]), [1, width]));
    gradients.set(typeTable, ops.concat(types, 0));
    const own = perStream((stream) =>
      linearBackward(ops, parameters, transformNames(stream), {
        dy: d[stream],
        x: batch[stream].rows,
        gradients,
      }),
    );
    return { dtokens: own, kept: [...gradients.values()] };
  });
  ops.free({ layers, pools });
  return dtokens;
}

const typeTable = "token_type_embeddings.weight";
const transformNames = (stream: Stream) => linearNames(`cross_modal_${stream}_transform`);
const poolerNames = (stream: Stream) => linearNames(`cross_modal_${stream}_pooler.dense`);

function typeRow(ops: Ops, parameters: Parameters, stream: Stream): Tensor {
  const table = parameter(parameters, typeTable);
  return ops.slice(table, [streams.indexOf(stream), 0], [1, table.shape[1] as number]);
}

/** Rows of the pooled tokens in [B·N, W]. */
function pooledRows(ops: Ops, { pooled, tokens }: StreamTokens): Tensor {
  return ops.tensor(
    Int32Array.from(pooled, (position, sample) => sample * tokens + position),
    [pooled.length],
  );
}

function shapesOf({ heads }: FusionConfig, batch: FusionBatch): StreamShapes {
  return perStream((stream) => {
    const { mask, pooled, tokens } = batch[stream];
    return { batch: pooled.length, heads, tokens, rows: pooled.length * tokens, ...(mask && { mask }) };
  });
}

function perStream<T>(make: (stream: Stream, index: number) => T): Record<Stream, T> {
  return { text: make("text", 0), image: make("image", 1) };
}
