/** A store from its first run to the end of the mixed graph, with a kill in each round. */
import { mkdir, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import type { Key } from "../../engine/model/ids.ts";
import { childrenOf, createWorkspace, executedSteps, gone, wholeEvents } from "../rig/cli.ts";
import type { CliProcess, CliResult, Workspace } from "../rig/cli.ts";
import { checkLedger, checkOwners, checkView, takeoverIn, waitsIn } from "./checks.ts";
import type { Companion, Extent, Fault, Moment } from "./fault.ts";
import { ledgerHas, ledgerPath, readLedger, timesDone } from "./ledger.ts";
import type { LedgerLine } from "./ledger.ts";
import { writeMixedGraph } from "./mixed-graph.ts";
import { viewStore } from "./store-view.ts";
import type { StoreView } from "./store-view.ts";

/** Runs the mixed graph; every iteration of a step with checkpoints is saved. */
export const mixedRun: readonly string[] = ["run", "p.yaml", "--ui", "json", "--checkpoint-minutes", "0"];
const reportFiles = ["table.md", "table.csv", "figures/figure.svg"];

/** What an undisturbed run of the mixed graph comes to. */
export interface Reference {
  readonly view: StoreView;
  /** The work of each key. */
  readonly names: ReadonlyMap<Key, string>;
  readonly reports: readonly string[];
  readonly extent: Extent;
}

/** A workspace with the mixed graph. */
export async function mixedWorkspace(): Promise<Workspace> {
  const workspace = await createWorkspace({ nodes: join(import.meta.dirname, "fault-nodes.ts") });
  await writeMixedGraph(workspace);
  return workspace;
}

export async function createReference(): Promise<Reference> {
  const workspace = await mixedWorkspace();
  const began = performance.now();
  const { exitCode, stdout, stderr } = await workspace.run(mixedRun);
  const ms = Math.ceil(performance.now() - began);
  expect(exitCode, stderr).toBe(0);
  const view = await viewStore(workspace.store, new Map());
  const lines = readLedger(ledgerPath(workspace.folder));
  for (const [name, times] of timesDone(lines)) expect(times, name).toBe(1);
  const reports = await reportsIn(workspace.store);
  await workspace.remove();
  return {
    view,
    names: new Map([...view.results].map(([name, { key }]) => [key, name])),
    reports,
    extent: { ms, events: wholeEvents(stdout).length, ledger: lines.length },
  };
}

/** The files that the mixed graph's report was published as. */
export function reportsIn(store: string): Promise<readonly string[]> {
  const folder = join(store, "results", "mixed", "gather");
  return Promise.all(reportFiles.map((name) => readFile(join(folder, name), "utf8")));
}

/** What a round came to. */
export interface Round {
  /** True where the victim was there to be killed. */
  readonly killed: boolean;
  /** True where a run came to its end, and the life with it. */
  readonly ended: boolean;
  /** Milliseconds from the kill of a driver until another one went on with what that had held; where one waited for it. */
  readonly takeover: number | undefined;
}

export interface Life {
  round(fault: Fault): Promise<Round>;
  /** Runs to the end where that has not been reached, and looks at all that there is. */
  end(): Promise<void>;
  remove(): Promise<void>;
}

export async function createLife(reference: Reference): Promise<Life> {
  const workspace = await mixedWorkspace();
  const shared = join(workspace.folder, "shared");
  await mkdir(shared);
  let before: StoreView = { results: new Map(), items: new Set(), checkpoints: new Map(), problems: [] };
  let ledger: readonly LedgerLine[] = [];

  const driverArgs = (remote: boolean): readonly string[] =>
    remote ? [...mixedRun, "--remote", shared] : mixedRun;
  const startCompanion = (command: Companion, remote: boolean): CliProcess => {
    const args = {
      driver: driverArgs(remote),
      gc: ["cache", "gc"],
      push: ["cache", "push", shared, "--all"],
      pull: ["cache", "pull", shared, "--all"],
    };
    return workspace.start(args[command]);
  };
  const comes = async ({ after, count }: Moment, command: CliProcess): Promise<void> => {
    switch (after) {
      case "ms":
        return delay(count);
      case "events":
        return command.lines(count);
      case "ledger":
        return ledgerHas(workspace.folder, ledger.length + count, command.result);
      default:
        return command.line(new RegExp(`(?:"type":"${after}"[^]*?\n){${count}}`));
    }
  };

  return {
    async round({ victim, when, companion, remote, hurry }) {
      const driver = workspace.start(driverArgs(remote));
      let beside: CliProcess | undefined;
      const begun =
        companion &&
        comes(companion.begins, driver).then(() => {
          beside = startCompanion(companion.command, remote);
          return beside;
        });
      const doomed = victim === "companion" && begun ? await begun : driver;
      await comes(when, doomed);
      const workers = await childrenOf(doomed.pid).catch(() => []);
      const killedAt = Date.now();
      const hit = kill(victim === "worker" ? workers.at(-1) : doomed.pid);
      await begun;
      const processes = beside ? [driver, beside] : [driver];
      const ends = await Promise.all(processes.map(({ result }) => result));
      if (!hurry) for (const worker of workers) await gone(worker);

      const drivers = companion?.command === "driver" ? ends : ends.slice(0, 1);
      for (const end of ends)
        checkEnd(end, { isDriver: drivers.includes(end), workerKilled: victim === "worker" });
      const events = drivers.map(({ stdout }) => wholeEvents(stdout));
      const after = await viewStore(workspace.store, reference.names);
      const lines = readLedger(ledgerPath(workspace.folder)).slice(ledger.length);
      checkView({ before, after, reference: reference.view });
      checkLedger({ before, lines });
      for (const each of events) checkOwners(each, after);
      // What died in an earlier round holds nothing any more.
      if (drivers.length === 1) expect(waitsIn(events.flat())).toEqual([]);
      before = { ...after, results: new Map([...before.results, ...after.results]) };
      ledger = [...ledger, ...lines];

      const survivor = drivers.findIndex(({ signal }) => signal === undefined);
      return {
        killed: victim === "worker" ? hit : ends[doomed === driver ? 0 : 1]?.signal === "SIGKILL",
        ended: drivers.some(({ exitCode }) => exitCode === 0),
        takeover: drivers.length > 1 ? takeoverIn(events[survivor] ?? [], killedAt) : undefined,
      };
    },
    async end() {
      await workspace.run(mixedRun);
      const made = readLedger(ledgerPath(workspace.folder)).length;
      const again = await workspace.events(mixedRun.slice(0, 2));
      expect(again.result.exitCode, again.result.stderr).toBe(0);
      expect(executedSteps(again.events)).toEqual([]);
      for (const args of [["gc"], ["verify"], ["push", shared, "--all"]]) {
        const { exitCode, stdout, stderr } = await workspace.run(["cache", ...args]);
        expect(exitCode, `${args.join(" ")}: ${stdout}${stderr}`).toBe(0);
      }
      for (const folder of ["checkpoints", "tmp"]) {
        expect(await readdir(join(workspace.store, folder)), folder).toEqual([]);
      }
      const view = await viewStore(workspace.store, reference.names);
      checkView({ before: reference.view, after: view, reference: reference.view });
      expect(await reportsIn(workspace.store)).toEqual(reference.reports);
      const other = ["--store", join(workspace.folder, "other")];
      await workspace.run(["cache", "pull", shared, "--all", ...other]);
      const pulled = await workspace.events(["run", "p.yaml", ...other]);
      expect(executedSteps(pulled.events)).toEqual([]);
      expect(readLedger(ledgerPath(workspace.folder))).toHaveLength(made);
    },
    remove: () => workspace.remove(),
  };
}

/** True where the process was there. */
function kill(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}

function checkEnd(
  { exitCode, signal, stdout, stderr }: CliResult,
  { isDriver, workerKilled }: { readonly isDriver: boolean; readonly workerKilled: boolean },
): void {
  expect(stderr).not.toContain("internal error");
  if (signal === "SIGKILL") return;
  // A command beside the run may come before there is a store, or anything in the shared folder.
  const early = /there is no store|no results/.test(stderr);
  const fine = isDriver ? (workerKilled ? [0, 1] : [0]) : early ? [2] : [0];
  expect(fine, `${stdout.split("\n").slice(-5).join("\n")}\n${stderr}`).toContain(exitCode);
}
