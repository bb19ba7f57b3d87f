import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { gpusVisible, hidesGpus } from "../../nodes/compute/gpu-devices.ts";
import { gpuReport } from "../../nodes/compute/gpu.ts";
import { tensorflowFolder } from "../../nodes/compute/places.ts";

let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-gpu-"));
  await mkdir(join(folder, "bin"));
  env = { PATH: join(folder, "bin"), RANFLOW_BACKENDS: join(folder, "backends") };
});
afterEach(() => rm(folder, { recursive: true }));

/** A driver's program that is a shell script. */
async function smi(script: string): Promise<void> {
  const file = join(folder, "bin", "nvidia-smi");
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

/** An installation whose library is no library. */
async function installCuda(library: string): Promise<void> {
  const target = tensorflowFolder("cuda", env);
  await mkdir(join(target, "lib"), { recursive: true });
  await writeFile(join(target, library), "not a library");
  await writeFile(join(target, "install.json"), JSON.stringify({ sha256: { [library]: "" } }));
}

const a100 = 'echo "0, NVIDIA A100-SXM4-80GB, 81920, 550.54.15, 8.0"';
const what = async (driver: boolean): Promise<string[]> =>
  (await gpuReport(env, driver)).problems.map((problem) => problem.what);

describe("gpuReport", () => {
  it("has nothing to say where there is neither a GPU nor the build for one", async () => {
    expect(await gpuReport(env, false)).toEqual({ devices: [], installed: false, problems: [] });
  });

  it("shows the devices, and that the build for them is not installed", async () => {
    await smi(a100);
    expect(await gpuReport(env, true)).toEqual({
      devices: [
        {
          index: 0,
          name: "NVIDIA A100-SXM4-80GB",
          memory: 81_920 * 2 ** 20,
          driver: "550.54.15",
          capability: "8.0",
        },
      ],
      installed: false,
      problems: [
        {
          what: "the tensorflow backend's build for CUDA is not installed",
          fix: "ranflow backend install tensorflow --cuda",
        },
      ],
    });
  });

  it("names an old driver, an old GPU, hidden devices and a library that does not load", async () => {
    await smi('echo "0, Tesla K80, 11441, 470.82.01, 3.7"');
    await installCuda("lib/libcudnn.so.9");
    env["CUDA_VISIBLE_DEVICES"] = "";
    expect(await what(true)).toEqual([
      'CUDA_VISIBLE_DEVICES is "", which hides every GPU',
      "the driver 470.82.01 of GPU 0 is too old for CUDA 12, which takes 525 or later",
      "GPU 0 has compute capability 3.7; TensorFlow has code for 6.0 and later",
      ...(await driverLibrary()),
      expect.stringMatching(/libcudnn\.so\.9 cannot be loaded: .*(invalid ELF header|file too short)/),
    ]);
  });

  it("tells a missing driver from one that does not work, or finds nothing", async () => {
    await installCuda("lib/libother.so.1");
    expect(await what(false)).toEqual(["this machine has no NVIDIA driver"]);
    expect(await what(true)).toEqual(["nvidia-smi is not on PATH: which GPUs there are is not known"]);
    await smi("echo NVIDIA-SMI has failed because it could not communicate with the driver; exit 9");
    expect(await what(true)).toEqual([
      "nvidia-smi does not work: NVIDIA-SMI has failed because it could not communicate with the driver",
    ]);
    await smi("exit 0");
    expect(await what(true)).toEqual(["the driver finds no GPU"]);
  });
});

/** Said on a machine without a driver, where these tests mostly run. */
async function driverLibrary(): Promise<readonly unknown[]> {
  const { problems } = await gpuReport({ ...env, CUDA_VISIBLE_DEVICES: "0" }, true);
  return problems.some((problem) => problem.what.startsWith("the driver's library"))
    ? [expect.stringMatching(/^the driver's library cannot be loaded: libcuda\.so\.1: /)]
    : [];
}

describe("CUDA_VISIBLE_DEVICES", () => {
  it.each([
    ["", true],
    ["-1", true],
    ["0", false],
    ["GPU-8932f937", false],
    [undefined, false],
  ])("%j hides every GPU: %s", (value, hidden) => {
    const given = value === undefined ? {} : { CUDA_VISIBLE_DEVICES: value };
    expect(hidesGpus(given)).toBe(hidden);
    if (hidden) expect(gpusVisible(given)).toBe(false);
  });
});
