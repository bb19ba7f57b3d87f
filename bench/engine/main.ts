/**
 * The engine's benchmark:
 *
 *   npm run bench:engine                          all sizes and tools, into bench/RESULTS.md
 *   npm run bench:engine -- --steps 5002 --json   one size, as JSON on stdout
 *   npm run bench:engine -- --peers make          beside these tools alone; `none` for ranflow alone
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { thisMachine } from "../machine.ts";
import { writeSection } from "../results.ts";
import { graphOf } from "./graph.ts";
import { formatResults, type Results } from "./results.ts";
import { runSize, type SizeResult } from "./run-size.ts";
import type { Absent, Tool } from "./tool.ts";
import { dvc } from "./tools/dvc.ts";
import { make } from "./tools/make.ts";
import { ranflow } from "./tools/ranflow.ts";
import { snakemake } from "./tools/snakemake.ts";

const peers: Readonly<Record<string, (environments: string) => Promise<Tool | Absent>>> = {
  make,
  snakemake,
  dvc,
};

const { values } = parseArgs({
  options: {
    steps: { type: "string", multiple: true, default: ["102", "1002", "5002", "20002", "100002"] },
    peers: { type: "string", default: Object.keys(peers).join() },
    rounds: { type: "string", default: "5" },
    // Seconds.
    "first-runs": { type: "string", default: "120" },
    json: { type: "boolean", default: false },
  },
});

const say = (line: string): void => console.error(line);
const folder = await mkdtemp(join(tmpdir(), "ranflow-bench-"));
try {
  const wanted = values.peers.split(",").filter((name) => name !== "none");
  const found = await Promise.all(
    wanted.map((name) => {
      const peer = peers[name];
      if (!peer) throw new Error(`there is no peer ${name}: they are ${Object.keys(peers).join(", ")}`);
      return peer(folder);
    }),
  );
  const tools = [await ranflow(), ...found.filter((peer): peer is Tool => "command" in peer)];
  const sizes: SizeResult[] = [];
  for (const steps of values.steps) {
    const graph = graphOf(Number(steps));
    sizes.push(
      await runSize({
        graph,
        tools: tools.filter(({ largest }) => graph.steps <= largest),
        rounds: Number(values.rounds),
        firstRuns: Number(values["first-runs"]),
        folder,
        say,
      }),
    );
  }
  const results: Results = {
    machine: thisMachine(),
    at: new Date().toISOString(),
    versions: Object.fromEntries(tools.map(({ name, version }) => [name, version])),
    absent: found.filter((peer): peer is Absent => "why" in peer),
    largest: Object.fromEntries(tools.map(({ name, largest }) => [name, largest])),
    sizes,
  };
  if (values.json) {
    console.log(JSON.stringify(results, undefined, 2));
  } else {
    const text = formatResults(results);
    writeSection(text);
    console.log(text);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
