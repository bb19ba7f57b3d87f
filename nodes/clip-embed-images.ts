import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import type { NodeType } from "../engine/sdk.ts";

/** `clip.embed-images`: image features of a frozen CLIP, for heads to be trained on. */
export const clipEmbedImages: NodeType = defineNode({
  type: "clip.embed-images",
  version: 2,
  summary: "Features of labelled images from a frozen CLIP image encoder",
  details:
    "Images go through OpenCLIP's evaluation transform (bicubic resize of the shortest side, centre crop, normalisation) at the model's image size. Features are not normalised.",
  inputs: { model: port("clip-model"), images: port("images") },
  outputs: { features: port("features") },
  params: z.object({
    feature: z
      .enum(["projected", "pre_proj"])
      .default("projected")
      .meta({ description: "after the projection into the joint space, or before it" }),
    // Not ephemeral: matrix products of another height may differ in their last bits.
    batchSize: z.int().min(1).default(32).meta({ description: "images encoded at once" }),
  }),
  growth: {
    time: ({ bytes }) => bytes("images") * bytes("model"),
    space: ({ bytes }) => bytes("images") * Math.sqrt(bytes("model")),
  },
  async run(context) {
    const { params, inputs, outputs, progress } = context;
    const { readClipModel } = await import("./clip/folder.ts");
    const { createClipModel, disposeClipModel } = await import("./clip/model.ts");
    const { embedImages } = await import("./clip/embed-images.ts");
    const { openRuntime } = await import("./compute/runtime.ts");
    const { writeFeatures } = await import("./features.ts");
    const { readImages } = await import("./records.ts");

    const runtime = await openRuntime(context.compute);
    context.provenance(runtime.provenance);
    const { header, records } = await readImages(inputs.images.path);
    const stored = await readClipModel(inputs.model);
    const model = createClipModel(runtime, stored.config, stored.state);
    let features: Float32Array;
    try {
      features = await embedImages(context, model, records, {
        ...params,
        onBatch: (done) => progress(done, records.length, undefined, "image"),
      });
    } finally {
      disposeClipModel(model);
    }
    await writeFeatures(
      outputs.features.path,
      { ...header, ids: records.map(({ id }) => id), feature: params.feature },
      features,
      Int32Array.from(records.flatMap(({ y }) => y.map((value) => value ?? -1))),
    );
  },
});
