import { clipPresets } from "../../nodes/clip/config.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { prepareClip } from "./clip-work.ts";
import type { Finding } from "./findings.ts";

const limit = 20e9;
const batch = 4;
const large = clipPresets["ViT-L-14"];

/** Two steps of an attack and the features at its end. */
export function measureLargeAttack(): Promise<Finding> {
  return measure("pgd", 224);
}

export function measureLargeTraining(): Promise<Finding> {
  return measure("train", 240);
}

async function measure(kind: "pgd" | "train", size: number): Promise<Finding> {
  const config = { ...large, vision_cfg: { ...large.vision_cfg, image_size: size } };
  const run = prepareClip(await openRuntime({ backend: "tensorflow", threads: 2 }), { kind, config, batch });
  const began = performance.now();
  await run();
  const seconds = (performance.now() - began) / 1e3;
  const peak = process.resourceUsage().maxRSS * 1024;
  return {
    wanted: `a peak memory of at most ${limit / 1e9} GB`,
    found: `${(peak / 1e9).toFixed(1)} GB, ${seconds.toFixed(0)} s`,
    holds: peak <= limit,
    figures: { peak, seconds },
  };
}
