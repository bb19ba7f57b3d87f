/** The executor before a Slurm whose commands answer when the test says. */
import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createSlurmExecutor } from "../../engine/executors/slurm/executor.ts";
import type { CommandResult, RunCommand } from "../../engine/executors/slurm/commands.ts";
import type { ExecutionListener, Executor, StepRequest } from "../../engine/executors/types.ts";
import { writeEnd } from "../../engine/worker/claims.ts";

const ok = (stdout: string): CommandResult => ({ ok: true, stdout, stderr: "", missing: false });

const executors: Executor[] = [];
const closeAll = async (): Promise<void> => {
  await Promise.all(executors.splice(0).map((executor) => executor.close()));
};
afterEach(async () => {
  vi.useRealTimers();
  await closeAll();
});

interface Sent {
  readonly folder: string;
  readonly token: string;
}

/** Answers of the commands, and what was submitted so far. */
function slurm(commands: {
  squeue(sent: readonly Sent[]): Promise<string>;
  sbatch?(): Promise<CommandResult>;
  scancel?(args: readonly string[]): Promise<CommandResult>;
}): {
  readonly run: RunCommand;
  readonly sent: readonly Sent[];
} {
  const sent: Sent[] = [];
  return {
    sent,
    async run(name, args) {
      if (name === "scancel") return (await commands.scancel?.(args)) ?? ok("");
      if (name === "squeue") return ok(await commands.squeue(sent));
      const folder = dirname(args.at(-1) as string);
      sent.push({ folder, token: folder.split("/").at(-1) as string });
      return (await commands.sbatch?.()) ?? ok(String(sent.length));
    },
  };
}

/** What the worker of a submission's step does. */
const worker = ({ folder }: Pick<Sent, "folder">, step = 0) => ({
  begin: () => {
    const claim = { element: step, job: "1", node: "n1", gpus: [] };
    writeFileSync(join(folder, "claim", `${step}.json`), JSON.stringify(claim));
  },
  advance: () =>
    appendFileSync(
      join(folder, "out", `${step}.ndjson`),
      `${JSON.stringify({ kind: "progress", request: step, done: 1, total: 2 })}\n`,
    ),
  end: () =>
    writeEnd(folder, step, {
      answer: { kind: "done", request: step, outputs: {}, provenance: {}, peakMemory: 1, residentMemory: 1 },
    }),
});

interface Executed {
  readonly outcome: Promise<string>;
  readonly said: readonly string[];
  cancel(): void;
}

const newStore = (): string => mkdtempSync(join(tmpdir(), "ranflow-slurm-"));

function start(
  run: RunCommand,
  grace: number,
  storeRoot = newStore(),
): (name: string, threads: number, onProgress?: () => void) => Executed {
  const made = createSlurmExecutor({
    storeRoot,
    libraryUrls: [],
    answer: async () => null,
    grace,
    pace: { shortest: 0, longest: 0 },
    run,
  });
  executors.push(made);
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
    const outcome = execution.outcome.then(({ kind }) => {
      execution.taken?.();
      return kind;
    });
    return { said, outcome, cancel: () => execution.cancel("now") };
  };
}

const completed = (sent: readonly Sent[]): string =>
  sent.map(({ token }, i) => `${i + 1}_0|COMPLETED|None|n1|ranflow-${token}\n`).join("");

/** Waits for as long as a machine may take. */
const until = async (holds: () => boolean): Promise<void> => {
  await vi.waitUntil(holds, { timeout: 120_000 });
};

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
    await until(() => sent.length === 2);
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

describe("a Slurm that hangs or is away", () => {
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
    await until(() => sent.length === 2);
    worker(sent[0] as Sent).begin();
    worker(sent[0] as Sent).end();
    expect(await first.outcome).toBe("done");
    hanging.resolve(ok("2"));
    worker(sent[1] as Sent).begin();
    worker(sent[1] as Sent).end();
    expect(await second.outcome).toBe("done");
    await closeAll();
    expect(readdirSync(dirname((sent[0] as Sent).folder))).toEqual([]);
  });

  it("gets as one array what became ready meanwhile", async () => {
    const hanging = Promise.withResolvers<CommandResult>();
    let looks = 0;
    const { run, sent } = slurm({
      async squeue() {
        looks++;
        return "";
      },
      sbatch: () => hanging.promise,
    });
    const execute = start(run, 30_000);
    const steps = [execute("first", 1)];
    await until(() => sent.length === 1);
    for (const name of ["second", "third"]) {
      steps.push(execute(name, 1));
      const before = looks;
      await until(() => looks > before + 1);
    }
    hanging.resolve(ok("1"));
    await until(() => sent.length === 2);
    worker(sent[0] as Sent).begin();
    worker(sent[0] as Sent).end();
    for (const step of [0, 1]) {
      worker(sent[1] as Sent, step).begin();
      worker(sent[1] as Sent, step).end();
    }
    expect(await Promise.all(steps.map(({ outcome }) => outcome))).toEqual(["done", "done", "done"]);
    expect(sent).toHaveLength(2);
  });

  it("is not asked over and over to cancel, and other steps end meanwhile", async () => {
    // However long the steps take, no time passes after which it would be asked again.
    vi.useFakeTimers({ toFake: ["Date"] });
    let asked = 0;
    const { run, sent } = slurm({
      squeue: async (all) => all.map(({ token }) => `1_[0-1]|PENDING|None||ranflow-${token}\n`).join(""),
      async scancel() {
        asked++;
        return {
          ok: false,
          stdout: "",
          stderr: "scancel: error: Unable to contact slurm controller",
          missing: false,
        };
      },
    });
    const execute = start(run, 30_000);
    const [one, other] = [execute("one", 1), execute("other", 1)];
    await until(() => sent.length === 1);
    one.cancel();
    expect(await one.outcome).toBe("cancelled");
    await until(() => asked > 0);
    worker(sent[0] as Sent, 1).begin();
    worker(sent[0] as Sent, 1).end();
    expect(await other.outcome).toBe("done");
    expect(asked).toBe(1);
    await closeAll();
    expect(asked).toBeLessThan(5);
  });
});

describe("what an earlier driver has submitted", () => {
  /** What is left where a driver died with the steps a and b submitted. */
  async function leftBehind(): Promise<{ readonly store: string; readonly folder: string }> {
    const { run, sent } = slurm({ squeue: async () => "" });
    const own = newStore();
    const execute = start(run, 30_000, own);
    const steps = [execute("a", 1), execute("b", 1)];
    await until(() => sent.length === 1);
    const store = newStore();
    cpSync(own, store, { recursive: true });
    for (const { cancel } of steps) cancel();
    return { store, folder: join(store, "slurm", (sent[0] as Sent).token) };
  }

  it("is joined step by step, and no result of it is missed", async () => {
    const earlier = await leftBehind();
    for (const step of [0, 1]) {
      worker(earlier, step).begin();
      worker(earlier, step).end();
    }
    const { run, sent } = slurm({ squeue: async () => "" });
    const execute = start(run, 0, earlier.store);
    for (const name of ["a", "b"]) {
      const { outcome, said } = execute(name, 1);
      expect(await outcome).toBe("done");
      expect(said).toEqual(["joins what an earlier run had submitted"]);
    }
    expect(sent).toEqual([]);
  });

  it("is submitted anew where its driver has removed it since it was seen", async () => {
    const earlier = await leftBehind();
    worker(earlier).begin();
    worker(earlier).end();
    const { run, sent } = slurm({ squeue: async () => "" });
    const execute = start(run, 30_000, earlier.store);
    expect(await execute("a", 1).outcome).toBe("done");
    rmSync(earlier.folder, { recursive: true });
    const { outcome, said } = execute("b", 1);
    await until(() => sent.length === 1);
    worker(sent[0] as Sent).begin();
    worker(sent[0] as Sent).end();
    expect(await outcome).toBe("done");
    expect(said).toEqual([]);
  });
});
