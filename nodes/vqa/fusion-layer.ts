import { linearNames } from "../nn/block-names.ts";
import type { Dropout } from "../nn/dropout.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import type { Gradients, Keep, Parameters } from "../nn/parameters.ts";
import { postNormAttention, postNormAttentionBackward } from "../nn/post-norm-attention.ts";
import type {
  PostNormAttentionNames,
  PostNormAttentionSaved,
  PostNormAttentionShape,
} from "../nn/post-norm-attention.ts";
import { postNormMlp, postNormMlpBackward } from "../nn/post-norm-mlp.ts";
import type { PostNormMlpSaved } from "../nn/post-norm-mlp.ts";
import type { Stream } from "./fusion-config.ts";

/** BERT's, of the layer norms. */
const epsilon = 1e-12;

/** How the rows of each stream are to be read. */
export type StreamShapes = Readonly<
  Record<
    Stream,
    {
      readonly batch: number;
      readonly heads: number;
      readonly tokens: number;
      /** batch · tokens. */
      readonly rows: number;
      readonly mask?: Tensor;
    }
  >
>;

interface StreamSaved {
  readonly own: PostNormAttentionSaved;
  readonly cross: PostNormAttentionSaved;
  readonly mlp: PostNormMlpSaved;
}

/** Activations of one layer of both streams. */
export type FusionLayerSaved = Readonly<Record<Stream, StreamSaved>>;

type StreamRows = Readonly<Record<Stream, Tensor>>;

const other = { text: "image", image: "text" } as const;

/** One layer of both streams at once: each sees the other as the layer before left it. Runs inside the caller's `tidy`. */
export function fusionLayer(
  ops: Ops,
  parameters: Parameters,
  layer: number,
  { tokens, shapes, keep, drop }: { tokens: StreamRows; shapes: StreamShapes; keep: Keep; drop: Dropout },
): { tokens: StreamRows; saved: FusionLayerSaved } {
  const ofStream = (stream: Stream): { y: Tensor; saved: StreamSaved } => {
    const names = layerNames(stream, layer);
    const attend = (from: Stream, x: Tensor, which: "own" | "cross") =>
      postNormAttention(ops, parameters, names[which], {
        x,
        context: which === "own" ? x : tokens[from],
        shape: attentionShape(shapes, stream, from),
        keep,
        drop,
      });
    const own = attend(stream, tokens[stream], "own");
    const cross = attend(other[stream], own.y, "cross");
    const mlp = postNormMlp(ops, parameters, names.mlp, { x: cross.y, epsilon, keep, drop });
    return { y: mlp.y, saved: { own: own.saved, cross: cross.saved, mlp: mlp.saved } };
  };
  const text = ofStream("text");
  const image = ofStream("image");
  return { tokens: { text: text.y, image: image.y }, saved: { text: text.saved, image: image.saved } };
}

/** Backward pass of `fusionLayer`: gradients of the tokens after it -> of those before. Runs inside the caller's `tidy`. */
export function fusionLayerBackward(
  ops: Ops,
  parameters: Parameters,
  layer: number,
  {
    d,
    saved,
    shapes,
    gradients,
  }: { d: StreamRows; saved: FusionLayerSaved; shapes: StreamShapes; gradients: Gradients },
): Record<Stream, Tensor> {
  const ofStream = (stream: Stream): { own: Tensor; across: Tensor } => {
    const names = layerNames(stream, layer);
    const back = (from: Stream, dy: Tensor, which: "own" | "cross") =>
      postNormAttentionBackward(ops, parameters, names[which], {
        dy,
        saved: saved[stream][which],
        shape: attentionShape(shapes, stream, from),
        gradients,
      });
    const dcross = postNormMlpBackward(ops, parameters, names.mlp, {
      dy: d[stream],
      saved: saved[stream].mlp,
      gradients,
    });
    const cross = back(other[stream], dcross, "cross");
    const own = back(stream, cross.dx, "own");
    return { own: ops.add(own.dx, own.dcontext), across: cross.dcontext };
  };
  const text = ofStream("text");
  const image = ofStream("image");
  return { text: ops.add(text.own, image.across), image: ops.add(image.own, text.across) };
}

function attentionShape(shapes: StreamShapes, asking: Stream, asked: Stream): PostNormAttentionShape {
  const { batch, heads, tokens: queries } = shapes[asking];
  const { mask, tokens: keys } = shapes[asked];
  return { batch, heads, queries, keys, epsilon, ...(mask && { mask }) };
}

function layerNames(stream: Stream, layer: number) {
  const prefix = `cross_modal_${stream}_layers.${layer}`;
  const attention = (part: string): PostNormAttentionNames => ({
    query: linearNames(`${prefix}.${part}.self.query`),
    key: linearNames(`${prefix}.${part}.self.key`),
    value: linearNames(`${prefix}.${part}.self.value`),
    out: linearNames(`${prefix}.${part}.output.dense`),
    norm: `${prefix}.${part}.output.LayerNorm`,
  });
  return {
    own: attention("attention"),
    cross: attention("crossattention"),
    mlp: {
      fc: linearNames(`${prefix}.intermediate.dense`),
      proj: linearNames(`${prefix}.output.dense`),
      norm: `${prefix}.output.LayerNorm`,
    },
  };
}
