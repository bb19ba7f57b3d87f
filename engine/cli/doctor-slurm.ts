import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Checkup } from "./commands/doctor.ts";
import { slurmSettings } from "./slurm-settings.ts";

/** What a node of the cluster lacks, or has. */
export interface ClusterCheckup {
  /** Name of the node that answered; absent where none did. */
  readonly host?: string;
  /** What the same examination says there. */
  readonly checkup?: Checkup;
  readonly problems: readonly { readonly what: string; readonly fix: string }[];
}

const defaultGrace = 15_000;

/** Has a node of the cluster examine itself, by way of Slurm and the shared folder, and compares it with this machine. */
export async function examineCluster(here: Checkup, sbatch: readonly string[]): Promise<ClusterCheckup> {
  const { probeCluster } = await import("../executors/slurm/probe.ts");
  const main = fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "main.ts" : "main.js", import.meta.url),
  );
  const store = here.store.path;
  const abort = new AbortController();
  const onInterrupt = (): void => abort.abort();
  process.once("SIGINT", onInterrupt);
  try {
    await mkdir(store, { recursive: true });
    const probe = await probeCluster({
      storeRoot: store,
      options: sbatch,
      command: [process.execPath, main, "doctor", "--json", "--store", store],
      onWait: (reason) => process.stderr.write(`the probe is ${reason}\n`),
      signal: abort.signal,
      grace: slurmSettings(process.env).grace ?? defaultGrace,
    });
    if (probe.kind === "problem") return { problems: [{ what: probe.message, fix: probe.fix }] };
    const there = JSON.parse(probe.text) as Checkup;
    return { host: probe.node, checkup: there, problems: differences(here, there, probe.node) };
  } catch (error) {
    return {
      problems: [
        {
          what: `the store ${store} cannot be used: ${(error as Error).message}`,
          fix: "choose a folder that this machine and all nodes see with --store",
        },
      ],
    };
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

function differences(here: Checkup, there: Checkup, host: string): ClusterCheckup["problems"] {
  const problems: { what: string; fix: string }[] = [];
  const note = (what: string, fix: string): void => void problems.push({ what, fix });
  if (here.node.version !== there.node.version) {
    note(
      `Node is ${there.node.version} on ${host}, and ${here.node.version} here`,
      "let both run the same installation of ranflow",
    );
  }
  if (here.versions["ranflow"] !== there.versions["ranflow"]) {
    note(
      `ranflow is ${there.versions["ranflow"]} on ${host}, and ${here.versions["ranflow"]} here`,
      "let both run the same installation of ranflow",
    );
  }
  if (there.store.problem)
    note(`${there.store.problem} (on ${host})`, "the nodes write results into the store");
  const usable = (checkup: Checkup): readonly string[] =>
    checkup.backends.filter(({ available }) => available).map(({ backend }) => backend);
  for (const backend of usable(here).filter((name) => !usable(there).includes(name))) {
    const lacks = there.backends.find((other) => other.backend === backend);
    note(
      `the backend ${backend} works here, and not on ${host}: ${lacks?.reasons[0] ?? "it is not there"}`,
      lacks?.fix ?? `install it in a folder that the nodes see; it was looked for in ${there.backendsFolder}`,
    );
  }
  for (const { fix, what } of there.gpus.problems) note(`${what} (on ${host})`, fix);
  return problems;
}

/** Lines for a person. */
export function clusterLines({ checkup, host, problems }: ClusterCheckup): string[] {
  const fixes = problems.flatMap(({ fix, what }) => [`- ${what}`, `    to fix: ${fix}`]);
  if (!checkup || host === undefined) return fixes;
  const { backends, gpus, machine, node } = checkup;
  const usable = backends.filter(({ available }) => available).map(({ backend }) => backend);
  const devices = gpus.devices.map(({ name }) => name);
  const facts = [
    `${machine.cores} cores`,
    `Node ${node.version}`,
    `backends ${usable.join(", ") || "none"}`,
    devices.join(", ") || "no GPU that it was given (ask for one with --sbatch=--gres=gpu:1)",
  ];
  return [`+ ${host} answered: ${facts.join(", ")}`, ...fixes];
}
