import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { NodeError } from "../../engine/sdk.ts";
import { coreShim } from "./core.ts";
import { buildBinding } from "./install/build.ts";
import { fetchPackages } from "./install/packages.ts";
import { findPrograms, isNoSpace, noSpace, type InstallContext } from "./install/programs.ts";
import { cannotWrite, openStaging, publish, removeAbandoned } from "./install/staging.ts";
import { downloadWheel, unpackWheel } from "./install/wheel.ts";
import { backendsFolder, packageFolder, pins, tensorflowFolder } from "./places.ts";
import { probeBackend } from "./report.ts";

export type { InstallContext, InstallEvent } from "./install/programs.ts";

/** What `install.json` in an installation says about it. */
export interface InstallRecord {
  readonly format: 1;
  readonly pins: typeof pins;
  /** File name of the wheel that the libraries came from. */
  readonly wheel: string;
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

/**
 * Installs the TensorFlow backend for this user: fetches tfjs-node-gpu and TensorFlow's wheel with the user's npm
 * and pip, builds the binding against the wheel's libraries, tries it, and puts the result into the per-user folder
 * by one rename. Interrupted at any point it leaves no installation; its remains are removed by the next one.
 *
 * @param options.force install again over an existing installation
 * @throws NodeError saying what is missing or failed, and what to do
 */
export async function installTensorflow(
  context: InstallContext,
  options: { force?: boolean } = {},
): Promise<InstallOutcome> {
  const folder = tensorflowFolder(context.env);
  const existing = await readInstallation(context.env);
  if (existing && !options.force) return { installed: false, folder, record: existing };
  checkPlatform();
  const programs = await findPrograms(context);
  const staging = await openStaging(backendsFolder(context.env));
  try {
    const built = join(staging, "built");
    const wheel = await fill(context, programs, built, join(staging, "downloads"));
    const record = await tryAndRecord(context, built, wheel);
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

/** Removes the installation. @returns the folder removed, or undefined where there was none */
export async function removeTensorflow(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  await removeAbandoned(backendsFolder(env));
  const folder = tensorflowFolder(env);
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
export async function readInstallation(env: NodeJS.ProcessEnv): Promise<InstallRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(tensorflowFolder(env), "install.json"), "utf8")) as InstallRecord;
  } catch {
    return undefined;
  }
}

/** Native files of the installation whose content is no longer what was installed. */
export async function damagedFiles(
  env: NodeJS.ProcessEnv,
  record: InstallRecord,
): Promise<readonly string[]> {
  const folder = tensorflowFolder(env);
  const damaged: string[] = [];
  for (const [name, digest] of Object.entries(record.sha256)) {
    const found = await sha256(join(folder, name)).catch(() => undefined);
    if (found !== digest) damaged.push(name);
  }
  return damaged;
}

function checkPlatform(): void {
  if (process.platform === "linux" && ["x64", "arm64"].includes(process.arch)) return;
  throw new NodeError(
    `the tensorflow backend can be installed on Linux (x64, arm64), not on ${process.platform} ${process.arch}`,
    {
      hint: "go on with --backend wasm, which needs nothing",
    },
  );
}

/** Fills the folder with everything but its record. @returns file name of the wheel */
async function fill(
  context: InstallContext,
  programs: Awaited<ReturnType<typeof findPrograms>>,
  built: string,
  downloads: string,
): Promise<string> {
  const root = packageFolder(built);
  const headers = join(downloads, "node-api-headers");
  await fetchPackages(
    context,
    programs,
    { binding: root, protobuf: join(built, "node_modules", "google-protobuf"), headers },
    join(downloads, "npm"),
  );
  const wheel = await downloadWheel(context, programs, join(downloads, "pip"));
  const native = join(root, "deps");
  context.report({ kind: "line", text: "unpacking TensorFlow's libraries" });
  await unpackWheel(context, wheel, { libraries: join(native, "lib"), include: join(native, "include") });
  await buildBinding(context, programs, root, join(headers, "include"));
  for (const part of ["src", "scripts", "binding", "binding.gyp", join("deps", "include")])
    await rm(join(root, part), { recursive: true, force: true });
  await writeShims(built);
  return relative(join(downloads, "pip"), wheel);
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

async function tryAndRecord(context: InstallContext, built: string, wheel: string): Promise<InstallRecord> {
  context.report({ kind: "line", text: "trying it: a matrix product in a process of its own" });
  const tried = await probeBackend("tensorflow", built);
  context.signal.throwIfAborted();
  if (!tried.ok)
    throw new NodeError(`the backend was built but does not work: ${tried.reasons.join("; ")}`, {
      hint: "go on with --backend wasm, which needs nothing",
    });
  const root = packageFolder(built);
  const files = [
    join(root, "lib", "napi-v8", "tfjs_binding.node"),
    join(root, "deps", "lib", "libtensorflow_cc.so.2"),
    join(root, "deps", "lib", "libtensorflow_framework.so.2"),
  ];
  const digests: [string, string][] = [];
  for (const file of files) digests.push([relative(built, file).split(sep).join("/"), await sha256(file)]);
  const record: InstallRecord = {
    format: 1,
    pins,
    wheel,
    sha256: Object.fromEntries(digests),
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
