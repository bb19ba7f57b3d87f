import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { NodeError } from "../../engine/sdk.ts";
import { coreShim } from "./core.ts";
import { buildBinding } from "./install/build.ts";
import { addCudaLibraries } from "./install/cuda.ts";
import { fetchPackages } from "./install/packages.ts";
import { findPrograms, isNoSpace, noSpace, type InstallContext, type Programs } from "./install/programs.ts";
import { cannotWrite, openStaging, publish, removeAbandoned } from "./install/staging.ts";
import { downloadWheels } from "./install/pip.ts";
import { libraryNames, unpackWheel } from "./install/wheel.ts";
import { backendsFolder, packageFolder, pins, tensorflowFolder, type TensorflowBuild } from "./places.ts";
import { probeBackend } from "./report.ts";

export type { InstallContext, InstallEvent } from "./install/programs.ts";

/** What `install.json` in an installation says about it. */
export interface InstallRecord {
  readonly format: 1;
  readonly pins: typeof pins;
  /** File name of the wheel that the libraries came from. */
  readonly wheel: string;
  /** File names of the wheels that NVIDIA's libraries came from, in a build for CUDA. */
  readonly cudaWheels?: readonly string[];
  /** SHA-256 in hexadecimal of the native files, by path relative to the installation. */
  readonly sha256: Readonly<Record<string, string>>;
  /** Versions as the backend itself reported them in the trial. */
  readonly versions: Readonly<Record<string, string>>;
}

/** How an installation went. */
export interface InstallOutcome {
  /** False where it was there already. */
  readonly installed: boolean;
  readonly folder: string;
  readonly record: InstallRecord;
}

/** Bytes that an installation takes while it is made. */
const neededBytes: Readonly<Record<TensorflowBuild, number>> = { cpu: 1_400_000_000, cuda: 9_000_000_000 };

/**
 * Installs the TensorFlow backend for this user: fetches tfjs-node-gpu and TensorFlow's wheel with the user's npm
 * and pip, builds the binding against the wheel's libraries, tries it, and puts the result into the per-user folder
 * by one rename. Interrupted at any point it leaves no installation; its remains are removed by the next one.
 *
 * @param options.build `cuda` takes TensorFlow's CUDA build and NVIDIA's libraries, and lies beside the one for CPUs
 * @param options.force install again over an existing installation
 * @throws NodeError saying what is missing or failed, and what to do
 */
export async function installTensorflow(
  context: InstallContext,
  options: { build?: TensorflowBuild; force?: boolean } = {},
): Promise<InstallOutcome> {
  const { build = "cpu", force = false } = options;
  const folder = tensorflowFolder(build, context.env);
  const existing = await readInstallation(context.env, build);
  if (existing && !force) return { installed: false, folder, record: existing };
  checkPlatform(build);
  const programs = await findPrograms(context);
  const staging = await openStaging(backendsFolder(context.env), neededBytes[build]);
  try {
    const built = join(staging, "built");
    const native = await fill({ context, programs, build, built, downloads: join(staging, "downloads") });
    const record = await tryAndRecord(context, built, native);
    await publish(built, folder);
    return { installed: true, folder, record };
  } catch (error) {
    throw isNoSpace(String(error)) && !(error instanceof NodeError)
      ? noSpace(staging, error)
      : cannotWrite(staging, error);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Removes an installation. @returns the folder removed, or undefined where there was none */
export async function removeTensorflow(
  env: NodeJS.ProcessEnv,
  build: TensorflowBuild = "cpu",
): Promise<string | undefined> {
  await removeAbandoned(backendsFolder(env));
  const folder = tensorflowFolder(build, env);
  if (!existsSync(folder)) return undefined;
  // Renamed first, so that an interrupted removal leaves no half of an installation.
  const aside = join(backendsFolder(env), `.staging-${process.pid}-removed`);
  try {
    await rename(folder, aside);
    await rm(aside, { recursive: true, force: true });
  } catch (error) {
    throw cannotWrite(folder, error);
  }
  return folder;
}

/** The record of the installation; undefined where there is none, or it is not complete. */
export async function readInstallation(
  env: NodeJS.ProcessEnv,
  build: TensorflowBuild = "cpu",
): Promise<InstallRecord | undefined> {
  try {
    const file = join(tensorflowFolder(build, env), "install.json");
    return JSON.parse(await readFile(file, "utf8")) as InstallRecord;
  } catch {
    return undefined;
  }
}

/** Native files of the installation whose content is no longer what was installed. */
export async function damagedFiles(folder: string, record: InstallRecord): Promise<readonly string[]> {
  const damaged: string[] = [];
  for (const [name, digest] of Object.entries(record.sha256)) {
    const found = await sha256(join(folder, name)).catch(() => undefined);
    if (found !== digest) damaged.push(name);
  }
  return damaged;
}

function checkPlatform(build: TensorflowBuild): void {
  const architectures = build === "cuda" ? ["x64"] : ["x64", "arm64"];
  if (process.platform === "linux" && architectures.includes(process.arch)) return;
  throw new NodeError(
    `the tensorflow backend${build === "cuda" ? " for CUDA" : ""} can be installed on Linux (${architectures.join(", ")}), not on ${process.platform} ${process.arch}`,
    {
      hint: "go on with --backend wasm, which needs nothing",
    },
  );
}

/** The native part of an installation: where it came from, and SHA-256 of its libraries by path in the installation. */
interface NativePart {
  readonly wheel: string;
  readonly cudaWheels?: readonly string[];
  readonly sha256: Readonly<Record<string, string>>;
}

/** Fills the folder with everything but its record. */
async function fill(work: {
  readonly context: InstallContext;
  readonly programs: Programs;
  readonly build: TensorflowBuild;
  readonly built: string;
  readonly downloads: string;
}): Promise<NativePart> {
  const { context, programs, build, built, downloads } = work;
  const root = packageFolder(built);
  const headers = join(downloads, "node-api-headers");
  await fetchPackages(
    context,
    programs,
    { binding: root, protobuf: join(built, "node_modules", "google-protobuf"), headers },
    join(downloads, "npm"),
  );
  const { name, version } = build === "cuda" ? pins.cudaWheel : pins.wheel;
  const [wheel = ""] = await downloadWheels(context, programs, join(downloads, "pip"), [
    `${name}==${version}`,
  ]);
  const native = join(root, "deps");
  const libraries = join(native, "lib");
  context.report({ kind: "line", text: "unpacking TensorFlow's libraries" });
  const digests = await unpackWheel(context, wheel, { libraries, include: join(native, "include") });
  const place = (path: string): string => relative(built, path).split(sep).join("/");
  const sha256 = Object.fromEntries(
    libraryNames.map((one) => [place(join(libraries, one)), digests[one] ?? ""]),
  );
  // Where the wheel's libraries look for NVIDIA's: beside their own folder, whatever LD_LIBRARY_PATH says.
  const nvidia = join(native, "nvidia");
  const cuda =
    build === "cuda"
      ? await addCudaLibraries(context, programs, {
          wheel,
          downloads: join(downloads, "nvidia"),
          target: nvidia,
        })
      : undefined;
  for (const [path, digest] of cuda?.sha256 ?? []) sha256[place(path)] = digest;
  await buildBinding(context, programs, root, join(headers, "include"));
  for (const part of ["src", "scripts", "binding", "binding.gyp", join("deps", "include")])
    await rm(join(root, part), { recursive: true, force: true });
  await writeShims(built);
  return { wheel: basename(wheel), ...(cuda && { cudaWheels: cuda.wheels }), sha256 };
}

/** Stands for the packages that the binding's package requires: both mean the tfjs-core that ranflow loaded. */
async function writeShims(built: string): Promise<void> {
  for (const name of ["tfjs", "tfjs-core"]) {
    const folder = join(built, "node_modules", "@tensorflow", name);
    await mkdir(folder, { recursive: true });
    const about = { name: `@tensorflow/${name}`, main: "index.js", type: "commonjs", private: true };
    await writeFile(join(folder, "package.json"), `${JSON.stringify(about, null, 2)}\n`);
    await writeFile(join(folder, "index.js"), coreShim);
  }
}

async function tryAndRecord(
  context: InstallContext,
  built: string,
  native: NativePart,
): Promise<InstallRecord> {
  context.report({ kind: "line", text: "trying it: a matrix product in a process of its own" });
  const tried = await probeBackend("tensorflow", built);
  context.signal.throwIfAborted();
  if (!tried.ok)
    throw new NodeError(`the backend was built but does not work: ${tried.reasons.join("; ")}`, {
      hint: "go on with --backend wasm, which needs nothing",
    });
  const binding = join(packageFolder(built), "lib", "napi-v8", "tfjs_binding.node");
  const record: InstallRecord = {
    format: 1,
    pins,
    ...native,
    sha256: { [relative(built, binding).split(sep).join("/")]: await sha256(binding), ...native.sha256 },
    versions: tried.provenance,
  };
  await writeFile(join(built, "install.json"), `${JSON.stringify(record, null, 2)}\n`);
  return record;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}
