import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

/** Images of a world, about: ROCOv2's valid and test have a fifth of its train each, CheXpert has three equal splits. */
function pictures(
  world: Readonly<Record<"pairs" | "targets" | "cxr" | "chexpert" | "slake" | "vqaRad", number>>,
): number {
  const { chexpert, cxr, pairs, slake, targets, vqaRad } = world;
  return 1.4 * pairs + targets + cxr + 3 * chexpert + slake + vqaRad;
}

const count = (most: number) => z.int().min(1).max(most);

/** Writes a small world of phantom radiographs in the layouts of six real datasets. */
export const dataSynthetic = defineNode({
  type: "data.synthetic",
  version: 2,
  summary:
    "Draws phantom radiographs with findings, captions and questions, in the layouts of the real datasets",
  details:
    "For machines that have no data: every loader reads these folders as it reads the real ones. Chest radiographs " +
    "are drawn from anatomy (body, lungs, heart, ribs, diaphragm) with random build, exposure, noise and devices; the " +
    "14 findings of ChestX-ray14 are drawn into them, on a side, in a zone, of a degree. Captions tell of them as " +
    "radiologists do; some figures show abdomen, head or knee. CheXpert's pictures come from another hospital: " +
    "portable views, harder films, coarser grain; VQA-RAD's come from there too. Questions ask for what was drawn. One picture depends on the seed and on its own id alone, so that a " +
    "larger world contains the smaller one. No number measured on this data says anything about medicine.",
  inputs: {},
  outputs: {
    rocov2: port("folder", {
      description: "image-caption pairs: train, and a fifth as many for valid and for test",
    }),
    medicat: port("folder", { description: "figures with captions, the targets of image attacks" }),
    chestxray14: port("folder", { description: "labelled chest radiographs, the in-domain dataset" }),
    chexpert: port("folder", {
      description: "labelled chest radiographs of another hospital: train, valid and test",
    }),
    slake: port("folder", { description: "questions on pictures, the in-domain dataset" }),
    vqaRad: port("folder", { description: "questions on chest radiographs of another hospital" }),
  },
  params: z.object({
    pairs: count(100_000).default(400).meta({ description: "pairs in ROCOv2's train split", unit: "images" }),
    targets: count(100_000).default(60).meta({ description: "figures in MedICaT", unit: "images" }),
    cxr: count(200_000)
      .default(900)
      .meta({ description: "images in ChestX-ray14, all splits", unit: "images" }),
    chexpert: count(100_000)
      .default(160)
      .meta({ description: "images in each of CheXpert's splits", unit: "images" }),
    slake: count(10_000).default(60).meta({ description: "images in SLAKE, all splits", unit: "images" }),
    vqaRad: count(10_000).default(40).meta({ description: "images in VQA-RAD", unit: "images" }),
    imageSize: z.int().min(16).max(1024).default(64).meta({ description: "shorter side", unit: "px" }),
    difficulty: z.number().min(0).max(1).default(0.1).meta({
      description: "0: findings are plain and pictures clean; 1: findings drown in noise",
      unit: "ratio",
    }),
  }),
  seeded: true,
  growth: {
    time: ({ params }) => pictures(params) * params.imageSize,
    space: ({ params }) => pictures(params),
  },
  async run({ params, outputs, seed, signal, progress, log }) {
    const { pictureWriter } = await import("./data/phantom/encode.ts");
    const layouts = await import("./data/phantom/layouts.ts");
    const { writeSlake, writeVqaRad } = await import("./data/phantom/question-layouts.ts");
    const world = { seed, imageSize: params.imageSize, difficulty: params.difficulty };
    const rocov2 = Object.values(layouts.rocov2Splits(params.pairs)).reduce((sum, size) => sum + size, 0);
    const total = rocov2 + params.targets + params.cxr + 3 * params.chexpert + params.slake + params.vqaRad;
    let done = 0;
    const onWritten = (): void => {
      signal.throwIfAborted();
      progress(++done, total, undefined, "image");
    };
    const datasets = [
      { output: outputs.rocov2, write: layouts.writeRocov2, count: params.pairs },
      { output: outputs.medicat, write: layouts.writeMedicat, count: params.targets },
      { output: outputs.chestxray14, write: layouts.writeChestxray14, count: params.cxr },
      { output: outputs.chexpert, write: layouts.writeChexpert, count: params.chexpert },
      { output: outputs.slake, write: writeSlake, count: params.slake },
      { output: outputs.vqaRad, write: writeVqaRad, count: params.vqaRad },
    ];
    for (const { output, write, count } of datasets) {
      const pictures = await pictureWriter(output.path, onWritten);
      await write(output.path, world, count, pictures);
      await pictures.finish();
    }
    log(`${total} pictures of ${params.imageSize} px, difficulty ${params.difficulty}`);
  },
});
