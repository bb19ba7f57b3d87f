import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, it } from "vitest";
import type { ClipConfig } from "../../nodes/clip/config.ts";
import { writeClipModel } from "../../nodes/clip/folder.ts";
import { createClipModel, disposeClipModel, inverseTemperature } from "../../nodes/clip/model.ts";
import { encodeTexts } from "../../nodes/clip/text.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { encodeImages } from "../../nodes/clip/vision.ts";
import { randomStream } from "../../nodes/random.ts";
import { readSafetensors, writeSafetensors } from "../../nodes/safetensors.ts";
import { randomState, smallModels } from "../rig/clip-models.ts";
import { channelsLast, expectClose, floats, openBackend, rows } from "./clip-golden.ts";

/** RANFLOW_PYTHON names a Python that has open_clip, and transformers for BERT; the tests pass without one. */
const python = process.env["RANFLOW_PYTHON"] ?? "python3";
const script = join(import.meta.dirname, "open_clip_features.py");
const probe = await execa(python, [script], { reject: false });
const libraries = probe.exitCode === 0 ? probe.stdout.trim().split(/\s+/) : [];
const isLoadable = ({ text_cfg: text }: ClipConfig): boolean =>
  libraries.includes("open_clip") && (text.tower !== "bert" || libraries.includes("transformers"));

/** The model as OpenCLIP can build it: it finds towers of other libraries by names that exist here. */
async function buildable(config: ClipConfig, folder: string): Promise<ClipConfig> {
  const { vision_cfg: vision, text_cfg: text } = config;
  const bert = join(folder, "bert");
  if (text.tower === "bert") {
    await mkdir(bert);
    await writeFile(
      join(bert, "config.json"),
      JSON.stringify({
        model_type: "bert",
        vocab_size: text.vocab_size,
        hidden_size: text.width,
        num_hidden_layers: text.layers,
        num_attention_heads: text.heads,
        intermediate_size: text.intermediate_size,
        max_position_embeddings: text.max_position_embeddings,
        type_vocab_size: text.type_vocab_size,
        pad_token_id: text.pad_id,
      }),
    );
  }
  return {
    ...config,
    vision_cfg: vision.tower === "timm-vit" ? { ...vision, timm_model_name: "vit_ranflow_test" } : vision,
    text_cfg: text.tower === "bert" ? { ...text, hf_model_name: bert, attend_padding: false } : text,
  };
}

/** Ids of SOT ... EOT and padding by the text tower's rules. */
function idsFor({ text_cfg: text }: ClipConfig, count: number): Int32Array {
  const ids = new Int32Array(count * text.context_length);
  const random = randomStream(2, "ids");
  for (let row = 0; row < count; row++) {
    const length = 3 + random.int(text.context_length - 3);
    const last = (text.tower === "clip" ? text.eos_id : undefined) ?? text.vocab_size - 1;
    for (let at = 0; at < length; at++) {
      ids[row * text.context_length + at] = at === length - 1 ? last : 10 + random.int(text.vocab_size - 11);
    }
  }
  return ids;
}

/** Writes the model's folder and its inputs into a folder for the script. */
async function prepare(model: ClipConfig) {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-open-clip-"));
  const config = await buildable(model, folder);
  const vocabulary = join(folder, "vocabulary");
  await writeFile(vocabulary, "");
  await mkdir(join(folder, "model"));
  await writeClipModel(join(folder, "model"), { config, state: randomState(config), vocabulary });
  const { image_size: size } = config.vision_cfg;
  const random = randomStream(1, "pixels");
  const pixels = Float32Array.from({ length: 3 * 3 * size * size }, () => random.normal());
  const inputs = new Map([
    ["images", { shape: [3, 3, size, size], data: pixels }],
    ["ids", { shape: [4, config.text_cfg.context_length], data: idsFor(config, 4) }],
  ]);
  await writeSafetensors(join(folder, "inputs.safetensors"), inputs);
  return { folder, config, inputs, pixels };
}

describe("models written here load in open_clip", () => {
  const all = Object.entries(smallModels) as [string, ClipConfig][];
  const prepared = new Map<string, Awaited<ReturnType<typeof prepare>>>();

  beforeAll(async () => {
    for (const [name, config] of all) if (isLoadable(config)) prepared.set(name, await prepare(config));
    // All in one process: the libraries take longer to load than the models.
    if (prepared.size > 0)
      await execa(python, [script, ...[...prepared.values()].map(({ folder }) => folder)]);
  }, 180_000);

  for (const [name, model] of all) {
    const reason = isLoadable(model) ? "" : ` (skipped: ${python} has no open_clip, or no transformers)`;
    it.skipIf(!isLoadable(model))(`${name} gives the same features${reason}`, async () => {
      const { folder, config, inputs, pixels } = prepared.get(name)!;
      const { tensors: expected } = await readSafetensors(join(folder, "output.safetensors"));
      const { image_size: size } = config.vision_cfg;
      const ours = createClipModel(await openBackend("wasm"), config, randomState(config));
      const { ops } = ours;
      ops.tidy(() => {
        const images = ops.tensor(channelsLast(pixels, [3, 3, size, size]), [3, size, size, 3]);
        const tokens = tokenBatch(rows(inputs, "ids"), config.text_cfg);
        for (const [tower, { features }] of [
          ["image_features", encodeImages(ours, images, "nothing")],
          ["text_features", encodeTexts(ours, tokens, "nothing")],
        ] as const) {
          expectClose(ops.read(features), floats(expected, tower), { what: tower, atol: 2e-5 });
        }
      });
      expectClose([inverseTemperature(ours)], floats(expected, "scale"), { what: "scale", atol: 1e-4 });
      disposeClipModel(ours);
    });
  }
});
