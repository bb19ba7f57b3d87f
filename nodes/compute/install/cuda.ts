import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { NodeError } from "../../../engine/sdk.ts";
import { downloadWheels } from "./pip.ts";
import type { InstallContext, Programs } from "./programs.ts";
import { extractFromWheel, readWheelMetadata } from "./wheel.ts";

/** NVIDIA's libraries in an installation. */
export interface CudaLibraries {
  /** File names of the wheels they came from. */
  readonly wheels: readonly string[];
  /** SHA-256 in hexadecimal by path. */
  readonly sha256: ReadonlyMap<string, string>;
}

/**
 * Downloads the NVIDIA libraries that TensorFlow's wheel names (its extra `and-cuda`) and takes them out of their
 * wheels, in the layout in which TensorFlow's libraries look for them. A wheel goes as soon as it is unpacked.
 *
 * @param places.wheel TensorFlow's wheel, a build for CUDA
 * @param places.target folder of `cublas/lib`, `cudnn/lib` and the others
 */
export async function addCudaLibraries(
  context: InstallContext,
  programs: Programs,
  places: { readonly wheel: string; readonly downloads: string; readonly target: string },
): Promise<CudaLibraries> {
  const { wheel, downloads, target } = places;
  const specs = nvidiaRequirements(await readWheelMetadata(context, wheel));
  if (specs.length === 0)
    throw new NodeError(`${basename(wheel)} names no NVIDIA libraries: it is no build for CUDA`, {
      hint: "check which index pip is set to (`pip config list`), or install without --cuda",
    });
  const wheels = await downloadWheels(context, programs, downloads, specs);
  const sha256 = new Map<string, string>();
  for (const file of wheels) {
    context.report({ kind: "line", text: `unpacking ${basename(file)}` });
    const found = await extractFromWheel(context, file, (name) => libraryPlace(name, target));
    for (const [name, digest] of found) sha256.set(libraryPlace(name, target) as string, digest);
    await rm(file);
  }
  return { wheels: wheels.map((file) => basename(file)), sha256 };
}

/** `nvidia-cublas-cu12<13.0,>=12.5.3.2` and the like, of a wheel's metadata. */
export function nvidiaRequirements(metadata: string): readonly string[] {
  const lines = metadata.matchAll(
    /^Requires-Dist:\s*(nvidia-[\w.-]+)\s*\(?([^;()\n]*)\)?\s*;\s*extra\s*==\s*["']and-cuda["']\s*$/gm,
  );
  return Array.from(lines, ([, name = "", versions = ""]) => name + versions.replaceAll(/\s/g, ""));
}

/** Shared libraries, and the two parts of the compiler that TensorFlow runs. Names are matched whole. */
function libraryPlace(name: string, target: string): string | undefined {
  const wanted =
    /^nvidia\/(\w+\/lib\/lib[\w.-]+\.so(?:\.[\d.]+)?|cuda_nvcc\/(?:bin\/ptxas|nvvm\/libdevice\/[\w.]+\.bc))$/;
  const path = wanted.exec(name)?.[1];
  return path === undefined ? undefined : join(target, ...path.split("/"));
}
