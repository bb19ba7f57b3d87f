import { createInterface } from "node:readline";
import { clipPresets } from "../../nodes/clip/config.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import type { Runtime } from "../../nodes/compute/types.ts";
import { prepareClip } from "./clip-work.ts";
import { headTraining } from "./head-work.ts";
import type { HeadWork, Pair, Work } from "./pairs.ts";

/** Our side of a pair: a process that computes when it is told to. See `startSide`. */
const { work, repeats, threads } = JSON.parse(process.argv.at(-1) ?? "") as Pair;
const run = await prepare(await openRuntime({ backend: "tensorflow", threads }), work);
await run();
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "end") break;
  const began = performance.now();
  const cpu = process.cpuUsage();
  for (let i = 0; i < repeats; i++) await run();
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ wall: (performance.now() - began) / 1e3, cpu: (user + system) / 1e6 }));
}
console.log(JSON.stringify({ peak: process.resourceUsage().maxRSS * 1024 }));
process.exit(0);

async function prepare(runtime: Runtime, wanted: Work): Promise<() => Promise<void>> {
  return wanted.kind === "head"
    ? prepareHead(runtime, wanted)
    : prepareClip(runtime, { ...wanted, config: clipPresets[wanted.arch] });
}

function prepareHead(runtime: Runtime, work: HeadWork): () => Promise<void> {
  const train = headTraining(runtime, work, 1);
  return async () => {
    for (const _ of train()) continue;
  };
}
