import { Option } from "commander";
import type { Command } from "commander";
import type { GpuReport } from "../../../nodes/compute/gpu.ts";
import type { BackendStatus } from "../../../nodes/compute/report.ts";
import { executorNames } from "../../model/slurm.ts";
import type { ExecutorName } from "../../model/slurm.ts";
import type { ClusterCheckup } from "../doctor-slurm.ts";
import { exitCodes } from "../exit.ts";
import { collect } from "../inspect.ts";

/** A program that some part of ranflow can use; none is needed to run a pipeline. */
interface ProgramStatus {
  readonly name: string;
  /** First line of what it says about its version; absent where it is not found. */
  readonly version?: string;
  readonly purpose: string;
}

/** What `ranflow doctor` found out; printed whole with `--json`. */
export interface Checkup {
  readonly versions: Readonly<Record<string, string>>;
  readonly node: { readonly version: string; readonly path: string; readonly problem?: string };
  readonly machine: {
    readonly platform: string;
    readonly arch: string;
    readonly cores: number;
    /** Bytes. */
    readonly memory: number;
  };
  readonly store: {
    readonly path: string;
    readonly exists: boolean;
    /** Bytes free in its file system. */
    readonly free: number | undefined;
    readonly problem?: string;
  };
  readonly backends: readonly BackendStatus[];
  readonly backendsFolder: string;
  readonly gpus: GpuReport;
  readonly programs: readonly ProgramStatus[];
}

const programs: readonly {
  readonly names: readonly string[];
  readonly args: readonly string[];
  readonly purpose: string;
}[] = [
  { names: ["npm"], args: ["--version"], purpose: "to install the tensorflow backend" },
  { names: ["python3", "python"], args: ["--version"], purpose: "to install the tensorflow backend" },
  {
    names: ["python3", "python"],
    args: ["-m", "pip", "--version"],
    purpose: "to install the tensorflow backend",
  },
  { names: ["g++", "c++", "clang++"], args: ["--version"], purpose: "to install the tensorflow backend" },
  { names: ["nvidia-smi"], args: ["-L"], purpose: "lists the NVIDIA GPUs that gpu slots can use" },
  { names: ["git"], args: ["--version"], purpose: "to record the commit of a pipeline's folder" },
];

interface DoctorOptions {
  readonly store?: string;
  readonly json?: boolean;
  readonly executor?: ExecutorName;
  readonly sbatch: readonly string[];
}

/** Registers `ranflow doctor`. */
export function register(program: Command): void {
  program
    .command("doctor")
    .description(
      "check this machine: Node, store, compute backends and GPUs with reasons and fixes, optional programs",
    )
    .option("--store <dir>", "the store (default: RANFLOW_STORE, else the nearest .ranflow)")
    .addOption(
      new Option(
        "--executor <name>",
        "examine this one, too: `slurm` submits a probe that looks around on a node of the cluster",
      ).choices(executorNames),
    )
    .option(
      "--sbatch <option>",
      "give the probe an option of sbatch, for instance --sbatch=--partition=gpu; may be repeated",
      collect,
      [],
    )
    .option("--json", "print JSON")
    .action(async (options: DoctorOptions) => {
      const checkup = await examine(options.store);
      const lines = describe(checkup);
      let cluster: ClusterCheckup | undefined;
      if (options.executor === "slurm") {
        const { clusterLines, examineCluster } = await import("../doctor-slurm.ts");
        cluster = await examineCluster(checkup, options.sbatch);
        lines.push("slurm", ...clusterLines(cluster).map((line) => `  ${line}`));
      }
      const found = { ...checkup, ...(cluster && { cluster }) };
      process.stdout.write(`${options.json ? JSON.stringify(found, null, 2) : lines.join("\n")}\n`);
      const healthy =
        (cluster?.problems.length ?? 0) === 0 &&
        !checkup.node.problem &&
        !checkup.store.problem &&
        checkup.backends.some(({ available }) => available);
      if (!healthy) process.exitCode = exitCodes.stepFailed;
    });
}

async function examine(store: string | undefined): Promise<Checkup> {
  const [os, { packageVersions }, { ranflowVersion }, { backendReport }, { backendsFolder }, { gpuReport }] =
    await Promise.all([
      import("node:os"),
      import("../package-versions.ts"),
      import("../../../cache/version.ts"),
      import("../../../nodes/compute/report.ts"),
      import("../../../nodes/compute/places.ts"),
      import("../../../nodes/compute/gpu.ts"),
    ]);
  const [backends, gpus, found, place] = await Promise.all([
    backendReport(),
    gpuReport(process.env),
    Promise.all(programs.map((wanted) => examineProgram(wanted))),
    examineStore(store),
  ]);
  const packages = Object.fromEntries(
    Object.entries(packageVersions(["@tensorflow/tfjs-core", "lmdb", "sharp", "vega"])).map(
      ([name, version]) => [name, version ?? "not installed: run npm ci"],
    ),
  );
  const major = Number(process.versions.node.split(".")[0]);
  return {
    versions: { ranflow: ranflowVersion(), v8: process.versions.v8, ...packages },
    node: {
      version: process.version,
      path: process.execPath,
      ...(major < 22 && {
        problem:
          "Node 22 or later is needed: start ranflow with npx, which takes the Node that npm ci installed",
      }),
    },
    machine: {
      platform: `${process.platform} ${os.release()}`,
      arch: process.arch,
      cores: os.availableParallelism(),
      memory: os.totalmem(),
    },
    store: place,
    backends,
    backendsFolder: backendsFolder(),
    gpus,
    programs: found,
  };
}

async function examineStore(flag: string | undefined): Promise<Checkup["store"]> {
  const { findStoreRoot } = await import("../../../cache/find.ts");
  const { access, constants, stat, statfs } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  const path = findStoreRoot({ flag, env: process.env, cwd: process.cwd() });
  const exists = (await stat(path).catch(() => undefined)) !== undefined;
  // Where the store does not exist yet, what counts is the folder that it will be made in.
  let folder = path;
  while (!(await stat(folder).catch(() => undefined)) && dirname(folder) !== folder) folder = dirname(folder);
  const space = await statfs(folder).catch(() => undefined);
  const free = space && space.bavail * space.bsize;
  try {
    await access(folder, constants.W_OK | constants.X_OK);
    return { path, exists, free };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const problem = `${folder} cannot be written to (${code}): choose another store with --store or RANFLOW_STORE`;
    return { path, exists, free, problem };
  }
}

async function examineProgram({ names, args, purpose }: (typeof programs)[number]): Promise<ProgramStatus> {
  const { execa } = await import("execa");
  const label = args.includes("pip") ? "pip" : (names[0] ?? "");
  for (const name of names) {
    const child = await execa(name, args, { reject: false, timeout: 20_000, stdin: "ignore" });
    if (!child.failed) return { name: label, version: child.stdout.split("\n", 1)[0] ?? "", purpose };
  }
  return { name: label, purpose };
}

function describe(checkup: Checkup): string[] {
  const { node, machine, store } = checkup;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  const versions = Object.entries(checkup.versions).map((entry) => entry.join(" "));
  return [
    "versions",
    `  ${versions.join(", ")}`,
    "node",
    `  ${node.version}  ${node.path}`,
    ...(node.problem === undefined ? [] : [`  problem: ${node.problem}`]),
    "machine",
    `  ${machine.platform} ${machine.arch}, ${machine.cores} cores, ${gigabytes(machine.memory)} memory`,
    "store",
    `  ${store.path}${store.exists ? "" : " (not made yet)"}`,
    ...(store.free === undefined ? [] : [`  ${gigabytes(store.free)} free`]),
    store.problem === undefined ? "  writable" : `  problem: ${store.problem}`,
    "compute backends",
    ...backendLines(checkup.backends).map((line) => `  ${line}`),
    `  installed backends lie in ${checkup.backendsFolder}`,
    "gpus",
    ...gpuLines(checkup.gpus).map((line) => `  ${line}`),
    "optional programs",
    ...checkup.programs.map(({ name, version, purpose }) =>
      version === undefined
        ? `  - ${name.padEnd(11)} not found; ${purpose}`
        : `  + ${name.padEnd(11)} ${version}`,
    ),
  ];
}

/** A few lines per backend: `*` the one that is used, `+` another that loads, `-` one that does not, and why. */
export function backendLines(report: readonly BackendStatus[]): string[] {
  return report.flatMap(({ backend, available, best, versions, reasons, fix }) => {
    if (!available)
      return [
        `- ${backend.padEnd(11)} not available`,
        ...reasons.map((reason) => `    ${reason}`),
        ...(fix === undefined ? [] : [`    to fix: ${fix}`]),
      ];
    const details = Object.entries(versions).map((entry) => entry.join(" "));
    return [
      `${best ? "*" : "+"} ${backend.padEnd(11)} ${details.join(", ")}${best ? "  (used by default)" : ""}`,
    ];
  });
}

/** A line per device, then what keeps TensorFlow from them, each with its fix. */
export function gpuLines({ devices, problems }: GpuReport): string[] {
  if (devices.length + problems.length === 0) return ["none"];
  return [
    ...devices.map(
      ({ index, name, memory, driver, capability }) =>
        `+ ${index}  ${name}, ${(memory / 1e9).toFixed(1)} GB, compute capability ${capability}, driver ${driver}`,
    ),
    ...problems.flatMap(({ what, fix }) => [`- ${what}`, `    to fix: ${fix}`]),
  ];
}
