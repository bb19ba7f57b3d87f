import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { hasDriver, hidesGpus } from "./gpu-devices.ts";
import { readInstallation } from "./install.ts";
import { tensorflowFolder } from "./places.ts";

/** A GPU as NVIDIA's driver describes it. */
export interface GpuDevice {
  readonly index: number;
  readonly name: string;
  /** Bytes. */
  readonly memory: number;
  readonly driver: string;
  /** `8.0` for Ampere, `9.0` for Hopper. */
  readonly capability: string;
}

/** Something that keeps TensorFlow from computing on a GPU, and what to do about it. */
export interface GpuProblem {
  readonly what: string;
  readonly fix: string;
}

/** What `ranflow doctor` says about GPUs. */
export interface GpuReport {
  readonly devices: readonly GpuDevice[];
  /** Whether the backend's build for CUDA is installed. */
  readonly installed: boolean;
  /** None on a machine that has neither a GPU nor the build for one. */
  readonly problems: readonly GpuProblem[];
}

/** The first driver for CUDA 12; any later one runs all of its minor versions. */
const oldestDriver = 525;
/** The wheel has code for Pascal and later. */
const oldestCapability = 6;

const install = "ranflow backend install tensorflow --cuda";
const driverFix = "install NVIDIA's driver, version 525 or later, or ask the machine's administrator";

/**
 * Looks at GPUs, driver and CUDA libraries, without loading TensorFlow.
 *
 * @param driver whether a driver is loaded; told from the device files
 */
export async function gpuReport(env: NodeJS.ProcessEnv, driver: boolean = hasDriver()): Promise<GpuReport> {
  const record = await readInstallation(env, "cuda");
  const installed = record !== undefined;
  const smi = await askDriver(env);
  if (!installed && !driver && smi.kind === "missing") return { devices: [], installed, problems: [] };
  const devices = smi.kind === "devices" ? smi.devices : [];
  const problems = [
    ...visibilityProblems(env),
    ...driverProblems(smi, driver),
    ...devices.flatMap(deviceProblems),
    ...(installed
      ? await libraryProblems(tensorflowFolder("cuda", env), Object.keys(record.sha256), devices.length > 0)
      : [{ what: "the tensorflow backend's build for CUDA is not installed", fix: install }]),
  ];
  return { devices, installed, problems };
}

type Smi =
  | { readonly kind: "missing" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "devices"; readonly devices: readonly GpuDevice[] };

async function askDriver(env: NodeJS.ProcessEnv): Promise<Smi> {
  const fields = "index,name,memory.total,driver_version,compute_cap";
  const asked = await execa("nvidia-smi", [`--query-gpu=${fields}`, "--format=csv,noheader,nounits"], {
    reject: false,
    timeout: 20_000,
    stdin: "ignore",
    extendEnv: false,
    env,
  });
  if (asked.code === "ENOENT" || asked.code === "EACCES") return { kind: "missing" };
  if (asked.failed) {
    const said = `${asked.stdout}\n${asked.stderr}`.trim().split("\n", 1)[0] ?? "";
    return { kind: "failed", reason: said || `it ended with ${asked.signal ?? asked.exitCode}` };
  }
  return { kind: "devices", devices: asked.stdout.split("\n").flatMap((line) => parseDevice(line)) };
}

/** `0, NVIDIA A100-SXM4-80GB, 81920, 550.54.15, 8.0`; memory in MiB. */
function parseDevice(line: string): readonly GpuDevice[] {
  const [index, name, memory, driver, capability] = line.split(",").map((field) => field.trim());
  if (!index || !name || !memory || !driver) return [];
  return [
    {
      index: Number(index),
      name,
      memory: Number(memory) * 2 ** 20,
      driver,
      capability: capability || "unknown",
    },
  ];
}

function visibilityProblems(env: NodeJS.ProcessEnv): readonly GpuProblem[] {
  if (!hidesGpus(env)) return [];
  return [
    {
      what: `CUDA_VISIBLE_DEVICES is ${JSON.stringify(env["CUDA_VISIBLE_DEVICES"])}, which hides every GPU`,
      fix: "unset it, or name the devices: CUDA_VISIBLE_DEVICES=0,1",
    },
  ];
}

function driverProblems(smi: Smi, driver: boolean): readonly GpuProblem[] {
  switch (smi.kind) {
    case "missing":
      return driver
        ? [
            {
              what: "nvidia-smi is not on PATH: which GPUs there are is not known",
              fix: "put it on PATH; it comes with the driver",
            },
          ]
        : [
            {
              what: "this machine has no NVIDIA driver",
              fix: `${driverFix}; on a cluster, look on a machine with GPUs`,
            },
          ];
    case "failed":
      return [{ what: `nvidia-smi does not work: ${smi.reason}`, fix: driverFix }];
    case "devices":
      return smi.devices.length > 0
        ? []
        : [
            {
              what: "the driver finds no GPU",
              fix: "on a cluster, ask its scheduler for one (`--gres=gpu:1` in Slurm)",
            },
          ];
  }
}

function deviceProblems({ index, driver, capability }: GpuDevice): readonly GpuProblem[] {
  const problems: GpuProblem[] = [];
  if (Number.parseInt(driver) < oldestDriver)
    problems.push({
      what: `the driver ${driver} of GPU ${index} is too old for CUDA 12, which takes ${oldestDriver} or later`,
      fix: driverFix,
    });
  if (Number.parseFloat(capability) < oldestCapability)
    problems.push({
      what: `GPU ${index} has compute capability ${capability}; TensorFlow has code for ${oldestCapability}.0 and later`,
      fix: "leave it out with CUDA_VISIBLE_DEVICES, or compute on the CPU",
    });
  return problems;
}

/** What TensorFlow loads when it makes a GPU device; the ones it can do without are not looked at. */
const needed = /\/lib(cudart|cublas|cublasLt|cufft|cusolver|cusparse|cudnn)\.so\.\d+$/;

/** Tries the libraries in a process of its own, which they do not leave as it was. */
async function libraryProblems(
  folder: string,
  files: readonly string[],
  hasDevices: boolean,
): Promise<readonly GpuProblem[]> {
  const libraries = files.filter((file) => needed.test(file)).map((file) => join(folder, file));
  const script = fileURLToPath(new URL(`./probe-libraries${extname(import.meta.url)}`, import.meta.url));
  // Without a device the driver's own library is not expected.
  const tried = [...(hasDevices ? ["libcuda.so.1"] : []), ...libraries];
  const child = await execa(process.execPath, [script, ...tried], { reject: false, timeout: 60_000 });
  if (child.failed)
    return [
      {
        what: `trying the CUDA libraries ended with ${child.signal ?? child.exitCode}`,
        fix: `${install} --force`,
      },
    ];
  const reasons = JSON.parse(child.stdout) as Readonly<Record<string, string>>;
  return Object.entries(reasons).map(([library, reason]) =>
    library === "libcuda.so.1"
      ? {
          what: `the driver's library cannot be loaded: ${reason}`,
          fix: `${driverFix}; in a container, start it with --gpus all`,
        }
      : { what: `${library} cannot be loaded: ${reason}`, fix: `${install} --force` },
  );
}
