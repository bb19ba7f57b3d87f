/** A Slurm cluster of its own on this machine, for tests. */
import { existsSync, readFileSync } from "node:fs";
import { appendFile, cp, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { gone } from "./cli.ts";

export interface Cluster {
  /** What commands of Slurm need to find it. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs a command of Slurm; its output. */
  slurm(name: string, ...args: readonly string[]): Promise<string>;
  /** Starts the controller again, with these lines of slurm.conf besides those that the cluster began with. */
  configure(lines: readonly string[]): Promise<void>;
  /** Ends the controller; what runs goes on. */
  stopController(): Promise<void>;
  /** Waits until it answers. */
  startController(): Promise<void>;
  /** Returns what kills the controller and takes from it whatever it has learnt from now on, but for the numbers it gave. */
  snapshot(): Promise<() => Promise<void>>;
  /** Stops a node's daemon, as where the node is cut off; what runs there goes on. Returns what wakes it again. */
  freeze(node: string): () => void;
  /** Brings back a node that was set down. */
  resume(node: string): Promise<void>;
  /** Gives a node mounts of its own. Returns what runs a command among them. */
  isolate(node: string): Promise<(command: string, ...args: readonly string[]) => Promise<void>>;
  stop(): Promise<void>;
}

/** RANFLOW_SLURM, or `../shared/tools/start-slurm` beside the repository: starts a cluster as root, of Debian's packages. */
const starter = resolve(
  process.env["RANFLOW_SLURM"] ?? join(import.meta.dirname, "../../../shared/tools/start-slurm"),
);

/** Starts a cluster, with further lines of slurm.conf; why there is none, where there can be none. */
export async function startCluster(nodes: number, always: readonly string[] = []): Promise<Cluster | string> {
  if (process.getuid?.() !== 0) return "only root can start a cluster";
  if (!existsSync(starter)) return `there is no ${starter}`;
  const folder = await mkdtemp(join(tmpdir(), "ranflow-slurm-"));
  const settings = {
    SLURM_TEST_DIR: folder,
    SLURM_NODES: String(nodes),
    SLURM_BASE_PORT: String(await freePorts()),
  };
  const conf = join(folder, "etc", "slurm.conf");
  const env = { SLURM_CONF: conf };
  const { failed, stderr } = await execa(starter, {
    env: settings,
    reject: false,
    timeout: 120_000,
    stdin: "ignore",
    // The daemons live on with what they inherit.
    stdout: "ignore",
  });
  if (failed) return `no cluster could be started: ${stderr.split("\n").slice(-5).join("\n")}`;
  const configured = await readFile(conf, "utf8");
  const pidFile = (daemon: string): string => join(folder, "run", `${daemon}.pid`);
  const end = async (daemon: string, signal: NodeJS.Signals): Promise<void> => {
    const pid = pidOf(pidFile(daemon));
    process.kill(pid, signal);
    await gone(pid);
    await rm(pidFile(daemon), { force: true });
  };
  const daemon = async (name: string, command: string, ...args: readonly string[]): Promise<void> => {
    await execa(command, args, { env, stdio: "ignore" });
    await until(async () => existsSync(pidFile(name)) && pidOf(pidFile(name)) > 0);
  };
  const slurm: Cluster["slurm"] = async (name, ...args) => {
    const { stdout } = await execa(name, args, { env: { ...env, SLURM_BITSTR_LEN: "0" } });
    return stdout;
  };
  const startController: Cluster["startController"] = async () => {
    await daemon("slurmctld", "/usr/sbin/slurmctld", "-f", conf);
    await until(async () => (await slurm("scontrol", "ping")).includes("is UP"));
  };
  const isThere = async (node: string): Promise<boolean> =>
    /^(idle|mixed|allocated)$/.test(await slurm("sinfo", "-h", "-p", "debug", "-n", node, "-o", "%T"));
  const configure: Cluster["configure"] = async (lines) => {
    await end("slurmctld", "SIGTERM");
    await writeFile(conf, [configured, ...always, ...lines, ""].join("\n"));
    await startController();
  };
  if (always.length > 0) await configure([]);
  // Waits until all nodes have answered.
  await slurm("srun", `--nodes=${nodes}`, "true");
  return {
    env,
    slurm,
    startController,
    configure,
    stopController: () => end("slurmctld", "SIGTERM"),
    async snapshot() {
      await end("slurmctld", "SIGTERM");
      const state = join(folder, "state");
      const copy = join(folder, "state-before");
      await cp(state, copy, { recursive: true });
      await startController();
      return async () => {
        await end("slurmctld", "SIGKILL");
        await rm(state, { recursive: true });
        await rename(copy, state);
        // A node drains itself where it is given a number that it knows.
        await appendFile(conf, "FirstJobId=10000\n");
      };
    },
    freeze(node) {
      const pid = pidOf(pidFile(`slurmd.${node}`));
      process.kill(pid, "SIGSTOP");
      return () => process.kill(pid, "SIGCONT");
    },
    async resume(node) {
      await slurm("scontrol", "update", `nodename=${node}`, "state=resume");
      await until(() => isThere(node));
    },
    async isolate(node) {
      const name = `slurmd.${node}`;
      await end(name, "SIGTERM");
      await daemon(name, "unshare", "--mount", "/usr/sbin/slurmd", "-N", node, "-f", conf);
      await until(() => isThere(node));
      const target = String(pidOf(pidFile(name)));
      return async (command, ...args) => {
        await execa("nsenter", ["--target", target, "--mount", command, ...args]);
      };
    },
    async stop() {
      await execa(join(dirname(starter), "stop-slurm"), { env: settings, reject: false, stdio: "ignore" });
    },
  };
}

function pidOf(file: string): number {
  return Number(readFileSync(file, "utf8"));
}

/** Resolves when something holds. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds().catch(() => false))) await delay(50);
}

/** A port from which on some are free: of a cluster's own range, so that two do not meet. */
async function freePorts(): Promise<number> {
  for (;;) {
    const port = 20_000 + 20 * Math.floor(Math.random() * 500);
    const free = await Promise.all([port, port + 11, port + 12].map(isFree));
    if (free.every(Boolean)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve_) => {
    const server = createServer();
    server.once("error", () => resolve_(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve_(true)));
  });
}
