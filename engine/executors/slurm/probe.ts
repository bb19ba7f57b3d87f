import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { submissionsFolder } from "../../model/submission.ts";
import { runCommand } from "./commands.ts";
import type { RunCommand } from "./commands.ts";
import { jobName, quoted } from "./options.ts";
import { tellsOfMemory } from "./policy.ts";
import { createQueue, isLive } from "./queue.ts";
import { send } from "./send.ts";

export interface ProbeOptions {
  readonly storeRoot: string;
  /** Further options of `sbatch`. */
  readonly options: readonly string[];
  /** The program that looks around on the node, and prints JSON. */
  readonly command: readonly string[];
  /** Says what is being waited for. */
  readonly onWait: (reason: string) => void;
  readonly signal: AbortSignal;
  /** Milliseconds in which what a node wrote comes to be seen here. */
  readonly grace: number;
  readonly run?: RunCommand;
}

/** What a probe found out. */
export type Probe =
  /** What the command printed on the node. */
  | { readonly kind: "answered"; readonly node: string; readonly text: string }
  | { readonly kind: "problem"; readonly message: string; readonly fix: string };

/** Milliseconds between two looks. */
const pace = { shortest: 1_000, longest: 10_000 };

/**
 * Submits a command and waits for what it prints. It comes back through the shared folder, as results do; where it does
 * not, how far it came says why.
 */
export async function probeCluster(options: ProbeOptions): Promise<Probe> {
  const { run = runCommand, storeRoot } = options;
  const token = `probe-${randomBytes(4).toString("hex")}`;
  const folder = join(submissionsFolder(storeRoot), token);
  await mkdir(folder, { recursive: true });
  try {
    await writeFile(join(folder, "script.sh"), probeScript(folder, options.command), { mode: 0o755 });
    const sent = await send(run, folder, [
      "--parsable",
      "--array=0-0",
      `--job-name=${jobName(token)}`,
      `--output=${folder}/output.txt`,
      "--no-requeue",
      "--time=10",
      ...options.options,
    ]);
    if (sent.kind === "rejected") {
      return { kind: "problem", message: sent.error.message, fix: sent.error.hint ?? "" };
    }
    if (sent.kind !== "accepted") {
      return {
        kind: "problem",
        message: `sbatch gave no job: ${sent.said}`,
        fix: "is the controller there? `scontrol ping` asks it",
      };
    }
    return await awaitProbe(token, folder, options);
  } finally {
    await run("scancel", ["--quiet", `--name=${jobName(token)}`]);
    await rm(folder, { recursive: true, force: true });
  }
}

function probeScript(folder: string, command: readonly string[]): string {
  const [program = "", ...rest] = command;
  return [
    "#!/bin/sh",
    `cd ${quoted(folder)} || exit 3`,
    'echo "${SLURMD_NODENAME:-$(hostname)}" > began',
    `[ -x ${quoted(program)} ] || { echo > no-program; exit 4; }`,
    `${[program, ...rest].map(quoted).join(" ")} > answer.part 2> trouble`,
    "mv answer.part answer",
    "",
  ].join("\n");
}

async function awaitProbe(
  token: string,
  folder: string,
  { command, grace, onWait, run = runCommand, signal }: ProbeOptions,
): Promise<Probe> {
  const queue = createQueue(run, pace);
  const read = (name: string): Promise<string | undefined> =>
    readFile(join(folder, name), "utf8").catch(() => undefined);
  let said = "";
  let missing: number | undefined;
  for (;;) {
    const answer = await read("answer");
    if (answer !== undefined && answer !== "") {
      return { kind: "answered", node: ((await read("began")) ?? "").trim(), text: answer };
    }
    const looked = await queue.look([token]);
    const element = queue.view?.submissions.get(token)?.get(0);
    if (looked && element && isLive(element.state)) {
      missing = undefined;
      const words = `${element.state.toLowerCase()} (${element.reason})`;
      if (words !== said) onWait((said = words));
    } else if (looked && queue.view) {
      missing ??= Date.now();
    }
    if (missing !== undefined && Date.now() - missing >= grace) {
      const node = element?.node ?? "";
      const program = command[0] ?? "";
      const began = (await read("began"))?.trim();
      return whyNot({
        began,
        state: element?.state,
        node,
        folder,
        program,
        hasProgram: (await read("no-program")) === undefined,
        trouble: (await read("trouble")) ?? "",
        output: (await read("output.txt")) ?? "",
      });
    }
    if (signal.aborted) return { kind: "problem", message: "interrupted", fix: "run it again" };
    await delay(500, undefined, { signal }).catch(() => {});
  }
}

function whyNot(found: {
  readonly began: string | undefined;
  readonly state: string | undefined;
  readonly node: string;
  readonly folder: string;
  readonly program: string;
  readonly hasProgram: boolean;
  /** What the program said. */
  readonly trouble: string;
  /** What Slurm said. */
  readonly output: string;
}): Probe {
  const { began, folder, hasProgram, node, output, program, state, trouble } = found;
  const where = began ?? (node === "" ? "the node" : node);
  if (began === undefined) {
    return {
      kind: "problem",
      message: `${where} (${state ?? "gone"}) wrote nothing into ${folder}`,
      fix: "the store has to lie in a folder that this machine and all nodes see under the same path: choose one with --store",
    };
  }
  if (state === "OUT_OF_MEMORY" || tellsOfMemory(output)) {
    return {
      kind: "problem",
      message: `what the cluster gave of the memory of ${where} is too little for ranflow to start there`,
      fix: "ask for more: here with --sbatch=--mem=2G, and for steps with `resources: { memory: 2G }`, too",
    };
  }
  if (!hasProgram) {
    return {
      kind: "problem",
      message: `there is no ${program} on ${where}`,
      fix: "install ranflow, with the Node that `npm ci` brings, in a folder that the nodes see, such as your home there",
    };
  }
  return {
    kind: "problem",
    message: `ranflow does not run on ${where}: ${trouble.trim().split("\n").at(-1) ?? ""}`,
    fix: "compare with what `ranflow doctor` says here: the nodes may have another system or another processor",
  };
}
