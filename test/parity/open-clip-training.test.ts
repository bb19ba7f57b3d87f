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
import type { TableRow } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRun, NodeRunOptions } from "../rig/run-node.ts";

/** RANFLOW_PYTHON names a Python that has what OpenCLIP's training needs; the tests pass without one. */
const python = process.env["RANFLOW_PYTHON"] ?? "python3";
// Handed on to the programs that the node starts, as a user's would be.
process.env["PYTHONPATH"] = join(import.meta.dirname, "python");
process.env["PYTHONDONTWRITEBYTECODE"] = "1";
const imported = await execa(python, ["-c", "import open_clip_train.main"], { reject: false });
const isThere = imported.exitCode === 0;
const reason = isThere ? "" : ` (skipped: ${python} has no open_clip_train)`;

/** Most that the losses of a step may differ, relative to one of them. */
const tolerance = 0.02;

// Python takes its time to import what it needs, once for each process.
describe.skipIf(!isThere)(`clip.pretrain and clip.pretrain-openclip${reason}`, { timeout: 600_000 }, () => {
  let folder: string;
  let clean: string;
  let noisy: string;
  let init: string;
  let resNet: string;
  const run = (type: typeof clipPretrain, options: NodeRunOptions) =>
    runNode(type, { backend: "wasm", ...options, folder });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ranflow-open-clip-training-"));
    const size = { pairs: 120, targets: 1, cxr: 1, chexpert: 1, slake: 1, vqaRad: 1, imageSize: 48 };
    const world = await run(dataSynthetic, { params: size });
    const roco = { params: { split: "train" }, inputs: { root: world.outputs["rocov2"]! } };
    clean = (await run(dataRocov2, roco)).outputs["pairs"]!;
    const marked = await run(noiseRandom, {
      params: { percent: 50, relSigma: 0.5 },
      inputs: { pairs: clean },
    });
    const mixing = { params: { percent: 50 }, inputs: { clean, noisy: marked.outputs["pairs"]! } };
    noisy = (await run(noiseMix, mixing)).outputs["pairs"]!;
    const made = async (arch: string, imageSize: number) =>
      (await run(modelClip, { params: { arch, imageSize }, inputs: { captions: clean } })).outputs["model"]!;
    init = await made("vit-nano", 48);
    resNet = await made("resnet-nano", 64);
  });

  const onTwoProcesses = { python, device: "cpu", processes: 2, workers: 0 };
  const params = { epochs: 4, batchSize: 16, learningRate: 1e-3, warmup: 5 };
  const logOf = async (ran: Promise<NodeRun>) => readTable((await ran).outputs["log"]!);

  /** The largest difference of the losses of a step, relative to ours. */
  function deviation(theirs: readonly TableRow[], ours: readonly TableRow[]): number {
    expect(theirs.map(({ step, epoch }) => [step, epoch])).toEqual(
      ours.map(({ step, epoch }) => [step, epoch]),
    );
    const differences = ours.map(({ loss }, i) => Math.abs(Number(theirs[i]?.["loss"]) / Number(loss) - 1));
    return Math.max(...differences);
  }

  it.for([
    ["with crops and noise on captions", {}, { ...onTwoProcesses }, "noisy"],
    [
      "with batches in parts, the last of an epoch half as large, on images as evaluation takes them",
      { epochs: 2, accumulation: 2, augment: false, dropLast: false, schedule: "constant" },
      { ...onTwoProcesses, workers: 1 },
      "clean",
    ],
    ["of a ResNet, whose batch norms are frozen", { learningRate: 4e-3 }, { ...onTwoProcesses }, "resnet"],
  ] as const)("give the same losses %s", async ([, others, launch, kind], { annotate }) => {
    const inputs = {
      pairs: kind === "noisy" ? noisy : clean,
      init: kind === "resnet" ? resNet : init,
    };
    const ours = await logOf(run(clipPretrain, { params: { ...params, ...others }, inputs }));
    const theirs = await logOf(
      run(clipPretrainOpenClip, { params: { ...params, ...others, ...launch }, inputs }),
    );
    expect(Number(ours.at(-1)?.["loss"])).toBeLessThan(0.9 * Number(ours[0]?.["loss"]));
    const largest = deviation(theirs, ours);
    await annotate(`losses differ by ${(100 * largest).toFixed(3)} % at most in ${ours.length} steps`);
    expect(largest).toBeLessThan(tolerance);
  });

  it("goes on after an interruption, of which no process is left", async () => {
    const inputs = { pairs: noisy, init };
    const checkpoints = await mkdtemp(join(folder, "checkpoints-"));
    const options = { params: { ...params, ...onTwoProcesses, epochs: 2 }, inputs, checkpoints };
    const stopped = run(clipPretrainOpenClip, { ...options, abortAtProgress: 9 });
    await expect(stopped).rejects.toThrow("stopped by the test");
    expect((await execa("pgrep", ["-f", folder], { reject: false })).stdout).toBe("");
    const resumed = await run(clipPretrainOpenClip, options);
    expect(resumed.logs).toContain("going on from epoch 1 of 2");
    const ours = await logOf(run(clipPretrain, { params: { ...params, epochs: 2 }, inputs }));
    expect(deviation(await readTable(resumed.outputs["log"]!), ours)).toBeLessThan(tolerance);
  });
});
