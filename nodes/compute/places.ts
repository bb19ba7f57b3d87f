import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** What `ranflow backend install tensorflow` obtains. A new pin gets a folder of its own. */
export const pins = {
  binding: { name: "@tensorflow/tfjs-node-gpu", version: "4.22.0" },
  protobuf: { name: "google-protobuf", version: "3.21.4" },
  headers: { name: "node-api-headers", version: "1.9.0" },
  wheel: { name: "tensorflow-cpu", version: "2.21.0" },
  /** Built for CUDA 12, with code for GPUs from Pascal to Hopper; names NVIDIA's libraries in its metadata. */
  cudaWheel: { name: "tensorflow", version: "2.21.0" },
} as const;

/** What an installation computes on. Both may be there, side by side. */
export type TensorflowBuild = "cpu" | "cuda";

/** Environment variable that overrides the per-user folder. */
export const backendsVariable = "RANFLOW_BACKENDS";

/** Per-user folder of installed backends: RANFLOW_BACKENDS, else XDG_DATA_HOME, else ~/.local/share. */
export function backendsFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env[backendsVariable]) return env[backendsVariable];
  const data = env["XDG_DATA_HOME"] || join(homedir(), ".local", "share");
  return join(data, "ranflow", "backends");
}

/** Folder of the TensorFlow installation of these pins on this platform, whether it exists or not. */
export function tensorflowFolder(build: TensorflowBuild, env: NodeJS.ProcessEnv = process.env): string {
  const name =
    build === "cuda" ? `tensorflow-cuda-${pins.cudaWheel.version}` : `tensorflow-${pins.wheel.version}`;
  return join(backendsFolder(env), `${name}-${pins.binding.version}-${process.platform}-${process.arch}`);
}

/** The addon beside an installed binding that keeps its loading quiet. */
export const quietName = "quiet.node";

/** Folder of the binding's package inside an installation. */
export function packageFolder(installation: string): string {
  return join(installation, "node_modules", ...pins.binding.name.split("/"));
}

/** The compiled binding in a package's folder, whichever Node-API version it was built for. */
export function findBinding(packageRoot: string): string | undefined {
  const lib = join(packageRoot, "lib");
  if (!existsSync(lib)) return undefined;
  return readdirSync(lib)
    .filter((name) => name.startsWith("napi-v"))
    .toSorted((a, b) => Number(b.slice(6)) - Number(a.slice(6)))
    .map((name) => join(lib, name, "tfjs_binding.node"))
    .find((file) => existsSync(file));
}
