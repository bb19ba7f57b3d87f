import { existsSync, readdirSync, readFileSync, watch } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import type { RunEvent } from "../../engine/model/events.ts";

const main = fileURLToPath(new URL("../../engine/cli/main.ts", import.meta.url));
const runNodes = fileURLToPath(new URL("../integration/run-nodes.ts", import.meta.url));

/** How a command ended. */
export interface CliResult {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that goes on. */
export interface CliProcess {
  readonly pid: number;
  readonly result: Promise<CliResult>;
  /** Resolves when so many lines were printed to stdout, or the command has ended. */
  lines(count: number): Promise<void>;
  /** Resolves when a line with this text was printed to stdout, or the command has ended. */
  line(text: string | RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

/** A temporary directory in which the real command line runs, with a store of its own. */
export interface Workspace {
  readonly folder: string;
  readonly store: string;
  write(name: string, text: string): Promise<void>;
  start(args: readonly string[], env?: Readonly<Record<string, string>>): CliProcess;
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<CliResult>;
  /** Runs with `--ui json`: the events, and how it ended. */
  events(
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<{ readonly events: readonly RunEvent[]; readonly result: CliResult }>;
  /** Executions that scripted nodes counted so far, one line each. */
  executions(): readonly string[];
  /** Resolves when a scripted node has come to its gate. */
  reached(gate: string): Promise<void>;
  /** Lets scripted nodes through a gate, now and later. */
  open(gate: string): Promise<void>;
  remove(): Promise<void>;
}

/** Makes a workspace whose nodes are those of a module, by default the scripted ones of test/integration/run-nodes.ts. */
export async function createWorkspace(options: { readonly nodes?: string } = {}): Promise<Workspace> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-cli-"));
  const store = join(folder, ".ranflow");
  const start: Workspace["start"] = (args, env = {}) => {
    const subprocess = execa(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
      cwd: folder,
      reject: false,
      stdin: "ignore",
      // A stop is waited for, however long the machine takes.
      forceKillAfterDelay: false,
      env: {
        RUN_TEST_FOLDER: folder,
        RANFLOW_NODES: options.nodes ?? runNodes,
        RANFLOW_STORE: store,
        NO_COLOR: "1",
        FORCE_COLOR: undefined,
        ...env,
      },
    });
    const result = subprocess.then(({ exitCode, signal, stdout, stderr }) => ({
      exitCode,
      signal,
      stdout,
      stderr,
    }));
    let printed = "";
    const lookers = new Set<() => void>();
    subprocess.stdout.on("data", (chunk) => {
      printed += String(chunk);
      for (const look of lookers) look();
    });
    const until = (holds: () => boolean): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!holds()) return;
          lookers.delete(look);
          resolve();
        };
        lookers.add(look);
        look();
        void result.then(() => resolve());
      });
    return {
      pid: subprocess.pid as number,
      result,
      lines: (count) => until(() => printed.split("\n").length > count),
      line: (text) => until(() => (typeof text === "string" ? printed.includes(text) : text.test(printed))),
      kill: (signal) => void subprocess.kill(signal),
    };
  };
  const run: Workspace["run"] = (args, env) => start(args, env).result;
  return {
    folder,
    store,
    write: (name, text) => writeFile(join(folder, name), text),
    start,
    run,
    async events(args, env) {
      const result = await run([...args, "--ui", "json"], env);
      const lines = result.stdout.split("\n").filter((line) => line !== "");
      return { events: lines.map((line) => JSON.parse(line) as RunEvent), result };
    },
    executions() {
      const path = join(folder, "executions.log");
      return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
    },
    reached: (gate) => appears(folder, `${gate}.reached`),
    open: (gate) => writeFile(join(folder, `${gate}.open`), ""),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Resolves when a file is there. */
export function appears(folder: string, name: string): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!existsSync(join(folder, name))) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(folder, look);
    look();
  });
}

/** Resolves when a process is gone. */
export async function gone(pid: number): Promise<void> {
  while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

function isRunning(pid: number): boolean {
  try {
    // A zombie has ended, though its parent has not looked yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Process ids of a process's children. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

/** Events that a run with `--ui json` printed before it was killed: the last line may be torn. */
export function wholeEvents(stdout: string): readonly RunEvent[] {
  const lines = stdout.split("\n").filter((line) => line.endsWith("}"));
  return lines.map((line) => JSON.parse(line) as RunEvent);
}

/** What the runs of a store have written of their events so far; a last line that is only half there is left out. */
export function eventsOfRuns(store: string): readonly RunEvent[] {
  const runs = join(store, "runs");
  return readdirSync(runs).flatMap((run) =>
    readFileSync(join(runs, run, "events.ndjson"), "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as RunEvent),
  );
}

/** Ids of the steps that executed, in the order in which they succeeded. */
export function executedSteps(events: readonly RunEvent[]): readonly string[] {
  return events.flatMap((event) =>
    event.type === "step-succeeded" && event.sharedWith === undefined ? [event.step as string] : [],
  );
}
