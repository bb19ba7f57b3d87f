/** The two streams of a fusion, in the order in which their features are joined. */
export const streams = ["text", "image"] as const;
export type Stream = (typeof streams)[number];

/** The shape of a fusion. */
export interface FusionConfig {
  /** Layers of each stream. */
  readonly layers: number;
  /** W. */
  readonly width: number;
  readonly heads: number;
  /** Hidden width of the MLPs. */
  readonly ffn: number;
  /** Width of the tokens that each stream takes. */
  readonly inputs: Readonly<Record<Stream, number>>;
}

/** Shapes of a fusion's parameters by METER's names, in PyTorch's layout: matrices are [out, in]. */
export function fusionShapes({
  ffn,
  inputs,
  layers,
  width,
}: FusionConfig): ReadonlyMap<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const addLinear = (name: string, from: number, to: number): void => {
    shapes.set(`${name}.weight`, [to, from]);
    shapes.set(`${name}.bias`, [to]);
  };
  const addNorm = (name: string): void => {
    shapes.set(`${name}.weight`, [width]);
    shapes.set(`${name}.bias`, [width]);
  };
  for (const stream of streams) addLinear(`cross_modal_${stream}_transform`, inputs[stream], width);
  shapes.set("token_type_embeddings.weight", [streams.length, width]);
  for (const stream of streams) {
    for (let layer = 0; layer < layers; layer++) {
      const prefix = `cross_modal_${stream}_layers.${layer}`;
      for (const part of ["attention", "crossattention"]) {
        for (const name of ["query", "key", "value"])
          addLinear(`${prefix}.${part}.self.${name}`, width, width);
        addLinear(`${prefix}.${part}.output.dense`, width, width);
        addNorm(`${prefix}.${part}.output.LayerNorm`);
      }
      addLinear(`${prefix}.intermediate.dense`, width, ffn);
      addLinear(`${prefix}.output.dense`, ffn, width);
      addNorm(`${prefix}.output.LayerNorm`);
    }
    addLinear(`cross_modal_${stream}_pooler.dense`, width, width);
  }
  return shapes;
}

/** True for matrices that the computation keeps as [in, out]: the table of token types is looked up by row. */
export function isTransposed(name: string, shape: readonly number[]): boolean {
  return shape.length === 2 && name !== "token_type_embeddings.weight";
}
