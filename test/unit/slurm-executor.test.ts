/** The executor before a Slurm whose commands answer when the test says. */
import { appendFileSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createSlurmExecutor } from "../../engine/executors/slurm/executor.ts";
import type { CommandResult, RunCommand } from "../../engine/executors/slurm/commands.ts";
import type { ExecutionListener, Executor, StepRequest } from "../../engine/executors/types.ts";
import { writeEnd } from "../../engine/worker/claims.ts";

const ok = (stdout: string): CommandResult => ({ ok: true, stdout, stderr: "", missing: false });

let executor: Executor | undefined;
afterEach(async () => {
  vi.useRealTimers();
  await executor?.close();
  executor = undefined;
});

interface Sent {
  readonly folder: string;
  readonly token: string;
}

/** Answers of the commands, and what was submitted so far. */
function slurm(commands: {
  squeue(sent: readonly Sent[]): Promise<string>;
  sbatch?(): Promise<CommandResult>;
}): {
  readonly run: RunCommand;
  readonly sent: readonly Sent[];
} {
  const sent: Sent[] = [];
  return {
    sent,
    async run(name, args) {
      if (name === "scancel") return ok("");
      if (name === "squeue") return ok(await commands.squeue(sent));
      const folder = dirname(args.at(-1) as string);
      sent.push({ folder, token: folder.split("/").at(-1) as string });
      return (await commands.sbatch?.()) ?? ok(String(sent.length));
    },
  };
}

/** What the worker of a submission's only step does. */
const worker = ({ folder }: Sent) => ({
  begin: () => {
    const claim = { element: 0, job: "1", node: "n1", gpus: [] };
    writeFileSync(join(folder, "claim", "0.json"), JSON.stringify(claim));
  },
  advance: () =>
    appendFileSync(
      join(folder, "out", "0.ndjson"),
      `${JSON.stringify({ kind: "progress", request: 0, done: 1, total: 2 })}\n`,
    ),
  end: () =>
    writeEnd(folder, 0, {
      answer: { kind: "done", request: 0, outputs: {}, provenance: {}, peakMemory: 1, residentMemory: 1 },
    }),
});

function start(
  run: RunCommand,
  grace: number,
): (name: string, threads: number, onProgress?: () => void) => { outcome: Promise<string>; said: string[] } {
  const storeRoot = mkdtempSync(join(tmpdir(), "ranflow-slurm-"));
  const made = createSlurmExecutor({
    storeRoot,
    libraryUrls: [],
    answer: async () => null,
    grace,
    pace: { shortest: 0, longest: 0 },
    run,
  });
  executor = made;
  return (name, threads, onProgress) => {
    const said: string[] = [];
    const listener: ExecutionListener = {
      started: () => {},
      progress: () => onProgress?.(),
      log: (_, message) => void said.push(message),
      output: () => {},
    };
    const request = { kind: "run", key: name, step: name } as unknown as StepRequest;
    const placement = {
      threads,
      gpus: [],
      slurm: { options: {}, resources: { cpu: 1, memory: 0, gpu: 0, other: {} } },
    };
    const execution = made.execute(request, placement, listener);
    return { said, outcome: execution.outcome.then((outcome) => (execution.taken?.(), outcome.kind)) };
  };
}

const completed = (sent: readonly Sent[]): string =>
  sent.map(({ token }, i) => `${i + 1}_0|COMPLETED|None|n1|ranflow-${token}\n`).join("");

describe("a step that ends while the queue is looked at", () => {
  it("is not lost where the queue knows of its end before its result was looked for", async () => {
    const looking = Promise.withResolvers<void>();
    const { run, sent } = slurm({
      async squeue(submitted) {
        await looking.promise;
        return completed(submitted);
      },
    });
    const execute = start(run, 0);
    // Results of the first are looked for, then it ends and the queue says so, then those of the second are looked for.
    const first = execute("first", 1, () => {
      worker(sent[0] as Sent).end();
      looking.resolve();
    });
    const second = execute("second", 2);
    await vi.waitUntil(() => sent.length === 2);
    worker(sent[1] as Sent).begin();
    worker(sent[1] as Sent).end();
    worker(sent[0] as Sent).advance();
    worker(sent[0] as Sent).begin();
    expect(await Promise.all([first.outcome, second.outcome])).toEqual(["done", "done"]);
    expect([...first.said, ...second.said]).toEqual([]);
    expect(sent).toHaveLength(2);
  });

  it("is given the time of its result's way from when it is known to have ended, however long the queue took", async () => {
    let looks = 0;
    const { run, sent } = slurm({
      async squeue(submitted) {
        if (submitted.length === 0) return "";
        looks++;
        if (looks === 1) {
          worker(submitted[0] as Sent).begin();
          vi.setSystemTime(Date.now() + 60_000);
        } else {
          worker(submitted[0] as Sent).end();
        }
        return completed(submitted);
      },
    });
    vi.useFakeTimers({ toFake: ["Date"] });
    const { outcome, said } = start(run, 30_000)("first", 1);
    vi.setSystemTime(Date.now() + 1_000);
    expect(await outcome).toBe("done");
    expect(said).toEqual([]);
    expect(sent).toHaveLength(1);
  });
});

describe("a Slurm that hangs", () => {
  it("holds no result up", async () => {
    const hanging = Promise.withResolvers<CommandResult>();
    let submissions = 0;
    const { run, sent } = slurm({
      squeue: async () => "",
      sbatch: () => (++submissions === 1 ? Promise.resolve(ok("1")) : hanging.promise),
    });
    const execute = start(run, 30_000);
    const first = execute("first", 1);
    const second = execute("second", 2);
    await vi.waitUntil(() => sent.length === 2);
    worker(sent[0] as Sent).begin();
    worker(sent[0] as Sent).end();
    expect(await first.outcome).toBe("done");
    hanging.resolve(ok("2"));
    worker(sent[1] as Sent).begin();
    worker(sent[1] as Sent).end();
    expect(await second.outcome).toBe("done");
    await executor?.close();
    expect(readdirSync(dirname((sent[0] as Sent).folder))).toEqual([]);
  });
});
