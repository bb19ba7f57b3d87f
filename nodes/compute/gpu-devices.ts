import { existsSync } from "node:fs";

/** Files that NVIDIA's driver makes; under WSL the devices have none of their own. */
const deviceFiles = ["/dev/nvidiactl", "/dev/dxg"];

/** Whether a driver for NVIDIA GPUs is loaded here. */
export function hasDriver(): boolean {
  return deviceFiles.some((file) => existsSync(file));
}

/** Whether CUDA_VISIBLE_DEVICES hides every GPU, as it does from steps without a `gpu` slot. */
export function hidesGpus(env: NodeJS.ProcessEnv): boolean {
  const visible = env["CUDA_VISIBLE_DEVICES"];
  return visible !== undefined && /^\s*(-1.*)?$/.test(visible);
}

/** Whether this process may find a GPU: enough to choose a build of TensorFlow by, without loading one. */
export function gpusVisible(env: NodeJS.ProcessEnv): boolean {
  return hasDriver() && !hidesGpus(env);
}
