/** A Slurm cluster of its own on this machine, for tests. */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";
import { gone } from "./cli.ts";

export interface Cluster {
  /** What commands of Slurm need to find it. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs a command of Slurm; its output. */
  slurm(name: string, ...args: readonly string[]): Promise<string>;
  /** Ends the controller; what runs goes on. */
  stopController(): Promise<void>;
  /** Stops a node's daemon, as where the node is cut off; what runs there goes on. Returns what wakes it again. */
  freeze(node: string): () => void;
  /** Starts what does not run, and brings back nodes that were set down. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** RANFLOW_SLURM, or `../shared/tools/start-slurm` beside the repository: starts a cluster as root, of Debian's packages. */
const starter = resolve(
  process.env["RANFLOW_SLURM"] ?? join(import.meta.dirname, "../../../shared/tools/start-slurm"),
);

/** Starts a cluster; why there is none, where there can be none. */
export async function startCluster(nodes: number): Promise<Cluster | string> {
  if (process.getuid?.() !== 0) return "only root can start a cluster";
  if (!existsSync(starter)) return `there is no ${starter}`;
  const folder = await mkdtemp(join(tmpdir(), "ranflow-slurm-"));
  const settings = {
    SLURM_TEST_DIR: folder,
    SLURM_NODES: String(nodes),
    SLURM_BASE_PORT: String(await freePorts()),
  };
  const env = { SLURM_CONF: join(folder, "etc", "slurm.conf") };
  const start = async (): Promise<string | undefined> => {
    const { failed, stderr } = await execa(starter, {
      env: settings,
      reject: false,
      timeout: 120_000,
      stdin: "ignore",
      // The daemons live on with what they inherit.
      stdout: "ignore",
    });
    return failed ? stderr.split("\n").slice(-5).join("\n") : undefined;
  };
  const problem = await start();
  if (problem !== undefined) return `no cluster could be started: ${problem}`;
  const pidOf = (daemon: string): number =>
    Number(readFileSync(join(folder, "run", `${daemon}.pid`), "utf8"));
  const slurm: Cluster["slurm"] = async (name, ...args) => {
    const { stdout } = await execa(name, args, { env: { ...env, SLURM_BITSTR_LEN: "0" } });
    return stdout;
  };
  return {
    env,
    slurm,
    async stopController() {
      const pid = pidOf("slurmctld");
      process.kill(pid, "SIGTERM");
      await gone(pid);
    },
    freeze(node) {
      const pid = pidOf(`slurmd.${node}`);
      process.kill(pid, "SIGSTOP");
      return () => process.kill(pid, "SIGCONT");
    },
    async start() {
      const again = await start();
      if (again !== undefined) throw new Error(again);
    },
    async stop() {
      await execa(join(dirname(starter), "stop-slurm"), { env: settings, reject: false, stdio: "ignore" });
    },
  };
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
