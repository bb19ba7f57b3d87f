import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { startCluster } from "../../test/rig/cluster.ts";
import type { Cluster } from "../../test/rig/cluster.ts";
import { thisMachine } from "../machine.ts";
import { markdownTable, median, writeSection } from "../results.ts";

/**
 * A thousand trivial steps through Slurm beside an array of a thousand times `true`, in turn, and how often Slurm is
 * asked while a step runs. The cluster is a real one, all of it on this machine.
 */
const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "1000" },
    rounds: { type: "string", default: "1" },
    /** Seconds for which the waiting is watched. */
    watch: { type: "string", default: "120" },
    json: { type: "boolean", default: false },
  },
});

const main = fileURLToPath(new URL("../../dist/engine/cli/main.js", import.meta.url));
const count = Number(options.steps);
const started = await startCluster(2);
if (typeof started === "string") throw new Error(started);
const folder = await mkdtemp(join(tmpdir(), "ranflow-bench-slurm-"));
try {
  const bare: number[] = [];
  const ours: number[] = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    bare.push(await arraySeconds(started));
    ours.push(await ranflowSeconds(started, join(folder, String(round))));
    say(`round ${round + 1}: Slurm ${bare.at(-1)?.toFixed(1)} s, ranflow ${ours.at(-1)?.toFixed(1)} s`);
  }
  const asked = await commandsWhileWaiting(started, join(folder, "waiting"));
  const results = { steps: count, bare: median(bare), ours: median(ours), asked };
  if (options.json) process.stdout.write(`${JSON.stringify(results)}\n`);
  else writeSection(section(results));
} finally {
  await started.stop();
  await rm(folder, { recursive: true, force: true });
}

/** Seconds until the last element of an array of `true` has ended. */
async function arraySeconds({ slurm }: Cluster): Promise<number> {
  const name = "bench-true";
  const begin = performance.now();
  await slurm("sbatch", `--array=0-${count - 1}`, `--job-name=${name}`, "--output=/dev/null", "--wrap=true");
  while ((await slurm("squeue", "--noheader", `--name=${name}`)) !== "") await delay(500);
  return (performance.now() - begin) / 1000;
}

async function ranflowSeconds({ env }: Cluster, at: string): Promise<number> {
  await mkdir(at);
  const labels = Array.from({ length: count }, (_, n) => n).join(", ");
  const pipeline = `name: many\naxes: { n: [${labels}] }\nnodes:\n  a: { type: text.write, with: { text: t-$(n) } }\n`;
  await writeFile(join(at, "p.yaml"), pipeline);
  const begin = performance.now();
  await execa(process.execPath, [main, "run", "p.yaml", "--store", "store", "--executor", "slurm"], {
    cwd: at,
    env,
  });
  return (performance.now() - begin) / 1000;
}

interface Asked {
  /** Commands of Slurm by name. */
  readonly commands: Readonly<Record<string, number>>;
  readonly perMinute: number;
}

/** What a driver asks of Slurm, with Slurm's commands behind ones that count, while its only step runs. */
async function commandsWhileWaiting({ env }: Cluster, at: string): Promise<Asked> {
  const bin = join(at, "bin");
  const calls = join(at, "calls");
  await mkdir(bin, { recursive: true });
  for (const name of ["sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct"]) {
    const path = process.env["PATH"] ?? "";
    await writeFile(
      join(bin, name),
      `#!/bin/sh\necho ${name} >> '${calls}'\nPATH='${path}' exec ${name} "$@"\n`,
    );
    await chmod(join(bin, name), 0o755);
  }
  await writeFile(
    join(at, "p.yaml"),
    `name: waiting
nodes:
  a:
    type: exec
    with: { command: [sh, -c, 'sleep ${options.watch}; echo > $1', sh, $(out.text)], outputs: { text: text } }
`,
  );
  await execa(process.execPath, [main, "run", "p.yaml", "--store", "store", "--executor", "slurm"], {
    cwd: at,
    env: { ...env, PATH: `${bin}${delimiter}${process.env["PATH"]}` },
  });
  const names = (await readFile(calls, "utf8")).trim().split("\n");
  const commands = Object.fromEntries(
    [...Map.groupBy(names, (name) => name)].map(([name, each]) => [name, each.length]),
  );
  return { commands, perMinute: (60 * names.length) / Number(options.watch) };
}

function section({
  asked,
  bare,
  ours,
  steps,
}: {
  readonly steps: number;
  readonly bare: number;
  readonly ours: number;
  readonly asked: Asked;
}): string {
  const { cores, cpu, memory, system } = thisMachine();
  const commands = Object.entries(asked.commands).map((entry) => entry.toReversed().join(" "));
  return `# Steps on Slurm

${steps} trivial steps with \`--executor slurm\`, beside one array of ${steps} elements that run \`true\`, in turn; and the commands of Slurm
that a driver runs in ${options.watch} s in which its only step runs, the submission included. \`npm run bench:slurm\`, on a cluster of two
nodes of which all is on this machine. An element goes on with steps whose own elements still wait, so that few of the ${steps} ever begin:
that is why it is less than 1 x. ${cores} cores of ${cpu}, ${memory} GiB, ${system}.

${markdownTable(
  ["", "seconds", "x"],
  [
    [`an array of ${steps} times \`true\``, bare.toFixed(1), "1"],
    [`${steps} steps of ranflow`, ours.toFixed(1), (ours / bare).toFixed(2)],
  ],
)}

While it waits: ${asked.perMinute.toFixed(1)} commands a minute (${commands.join(", ")}).
`;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
