import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** What one of our own measurements found, without a peer to compare with. */
export interface Finding {
  /** What has to hold, and what was found, in words. */
  readonly wanted: string;
  readonly found: string;
  readonly holds: boolean;
  /** The numbers behind it. Seconds, bytes, shares of 1 unless the name says otherwise. */
  readonly figures: Readonly<Record<string, number>>;
}

/** A measurement of our own: its module is loaded in the process that measures alone. */
export interface OwnMeasurement {
  readonly name: string;
  readonly title: string;
  measure(): Promise<Finding>;
}

export const ownMeasurements: readonly OwnMeasurement[] = [
  {
    name: "wasm-matmul",
    title: "wasm: products of ViT-B/32's image tower, B=16",
    measure: async () => (await import("./wasm-matmul.ts")).measureProducts(),
  },
  {
    name: "features",
    title: "feature extraction, ViT-B/32, from JPEGs of 1024 x 1024",
    measure: async () => (await import("./input-waiting.ts")).measureFeatures(),
  },
  {
    name: "training-input",
    title: "CLIP train step, ViT-B/32, B=16, from JPEGs of 1024 x 1024",
    measure: async () => (await import("./input-waiting.ts")).measureTraining(),
  },
  {
    name: "attack-input",
    title: "PGD attack of 10 steps, ViT-B/32, B=16, from JPEGs of 1024 x 1024",
    measure: async () => (await import("./input-waiting.ts")).measureAttack(),
  },
  {
    name: "growth",
    title: "2,000 steps of training, attack and head",
    measure: async () => (await import("./growth.ts")).measureGrowth(),
  },
  {
    name: "vit-l-pgd-224",
    title: "PGD attack, ViT-L/14 at 224 px, B=4",
    measure: async () => (await import("./large-model.ts")).measureLargeAttack(),
  },
  {
    name: "vit-l-train-240",
    title: "CLIP train step, ViT-L/14 at 240 px, B=4",
    measure: async () => (await import("./large-model.ts")).measureLargeTraining(),
  },
];

/** Makes one measurement in a process of its own, whose peak memory counts; one that dies does not hold. */
export async function measureAlone({ name }: OwnMeasurement): Promise<Finding> {
  const program = fileURLToPath(new URL("own-measurement.ts", import.meta.url));
  const child = spawn(process.execPath, ["--expose-gc", program, name], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { TF_NUM_INTRAOP_THREADS: "2", ...process.env },
  });
  const [answer] = await Promise.all([text(child.stdout), once(child, "close")]);
  if (child.exitCode !== 0) {
    const end = String(child.exitCode ?? child.signalCode);
    return { wanted: "a result", found: `ended with ${end}`, holds: false, figures: {} };
  }
  return JSON.parse(answer) as Finding;
}
