import { describe, expect, it } from "vitest";
import { sbatchArguments, submissionScript } from "../../engine/executors/slurm/options.ts";
import { verdictOn } from "../../engine/executors/slurm/policy.ts";
import type { Loss } from "../../engine/executors/slurm/policy.ts";
import { createQueue, parseQueue, ranges } from "../../engine/executors/slurm/queue.ts";
import { sentBy } from "../../engine/executors/slurm/send.ts";
import { createThrottle } from "../../engine/executors/slurm/throttle.ts";

const resources = { cpu: 2, memory: 2 ** 31, gpu: 1, other: {} };
const shape = { options: { partition: "gpu", time: 12 * 3_600_000 }, resources, threads: 2 };

describe("the arguments of sbatch", () => {
  it("say what the step asks for, the user's own last", () => {
    const options = { ...shape.options, account: "lab", constraint: "a40", options: ["--qos=long"] };
    const args = sbatchArguments({ ...shape, options, token: "ab", folder: "/f", count: 3 });
    expect(args).toEqual(
      expect.arrayContaining([
        "--array=0-2",
        "--job-name=ranflow-ab",
        "--mem=2048M",
        "--gres=gpu:1",
        "--time=720",
      ]),
    );
    expect(args.slice(-5)).toEqual([
      "--partition=gpu",
      "--account=lab",
      "--time=720",
      "--constraint=a40",
      "--qos=long",
    ]);
  });

  it("leave to the cluster what nobody asked for", () => {
    const plain = { options: {}, resources: { cpu: 1, memory: 0, gpu: 0, other: {} }, threads: 1 };
    const args = sbatchArguments({ ...plain, token: "ab", folder: "/f", count: 1 }).join(" ");
    expect(args).not.toMatch(/--(mem|gres|time|partition|account)/);
    const script = submissionScript({
      node: "/it's/node",
      worker: "w.js",
      folder: "/f",
      threads: 1,
      hasGpu: false,
    });
    expect(script).toContain("export CUDA_VISIBLE_DEVICES=-1");
    expect(script).toContain(String.raw`exec '/it'\''s/node' 'w.js' '/f' "$SLURM_ARRAY_TASK_ID"`);
  });
});

describe("the queue", () => {
  it("is read by the names of submissions, whatever the numbers are", () => {
    const view = parseQueue(
      [
        "7_[3-5,9%2]|PENDING|Resources||ranflow-aa",
        "7_1|RUNNING|None|n2|ranflow-aa",
        "7_2|NODE_FAIL|None|n1|ranflow-aa",
        "8_0|PENDING|JobHeldUser||ranflow-bb",
        "9|RUNNING|None|n1|somebody-else",
        "12_2|RUNNING|None|n3|ranflow-aa",
      ].join("\n"),
    );
    const first = view.get("aa");
    expect([...(first?.keys() ?? [])].toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 9]);
    expect(first?.get(4)).toEqual({ job: "7", state: "PENDING", reason: "Resources", node: "" });
    // It was submitted twice: what lives counts.
    expect(first?.get(2)).toMatchObject({ job: "12", state: "RUNNING" });
    expect(view.get("bb")?.get(0)?.reason).toBe("JobHeldUser");
    expect(view.size).toBe(2);
  });

  it("is asked once for all, and says since when nobody answers", async () => {
    const asked: string[] = [];
    let ok = true;
    const queue = createQueue(
      async (name, args) => {
        asked.push(`${name} ${args.find((arg) => arg.startsWith("--name"))}`);
        return {
          ok,
          stdout: "7_0|RUNNING|None|n1|ranflow-aa\n",
          stderr: "squeue: error: no",
          missing: false,
        };
      },
      { shortest: 0, longest: 0 },
    );
    expect(await queue.look([])).toBe(false);
    expect(await queue.look(["aa", "bb"])).toBe(true);
    expect(asked).toEqual(["squeue --name=ranflow-aa,ranflow-bb"]);
    expect(queue.view?.submissions.get("aa")?.get(0)?.node).toBe("n1");
    ok = false;
    queue.hurry();
    await queue.look(["aa"]);
    expect(queue.silent?.said).toContain("no");
    expect(queue.view?.submissions.size).toBe(1);
  });

  it("is told about elements as Slurm writes them", () => {
    expect(ranges([0, 1, 2, 5, 7, 8])).toBe("0-2,5,7-8");
  });
});

describe("an answer of sbatch", () => {
  const answer = (stderr: string): string =>
    sentBy({ ok: false, stdout: "", stderr: `sbatch: error: ${stderr}`, missing: false }, ["--partition=x"])
      .kind;

  it.each([
    ["Batch job submission failed: Invalid partition name specified", "rejected"],
    ["Batch job submission failed: Requested node configuration is not available", "rejected"],
    ["Batch job submission failed: Invalid account or account/partition combination specified", "rejected"],
    ["Batch job submission failed: Socket timed out on send/recv operation", "unknown"],
    ["Batch job submission failed: Unable to contact slurm controller (connect failure)", "unknown"],
    ["Batch job submission failed: Zero Bytes were transmitted or received", "unknown"],
    [
      "AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy",
      "full",
    ],
    ["Slurm temporarily unable to accept job, sleeping and retrying", "full"],
    ["Slurm job queue full, sleeping and retrying", "full"],
    ["Batch job submission failed: Invalid job array specification", "large"],
    ["something that nobody has seen before", "unknown"],
  ])("%s", (text, kind) => {
    expect(answer(text)).toBe(kind);
  });

  it("is the number of the array, of a federation too", () => {
    const ok = (stdout: string): unknown => sentBy({ ok: true, stdout, stderr: "", missing: false }, []);
    expect(ok("12\n")).toEqual({ kind: "accepted", job: "12" });
    expect(ok("12;alpha\n")).toEqual({ kind: "accepted", job: "12" });
    expect(sentBy({ ok: false, stdout: "", stderr: "", missing: true }, [])).toMatchObject({
      kind: "rejected",
    });
  });

  it("ends what would be tried for ever where the cluster takes no arrays at all", () => {
    const stderr = "sbatch: error: Batch job submission failed: Invalid job array specification";
    const sent = sentBy({ ok: false, stdout: "", stderr, missing: false }, ["--array=0-0"]);
    expect(sent).toMatchObject({
      kind: "rejected",
      error: { message: expect.stringContaining("takes no arrays") },
    });
  });
});

describe("a step that was lost", () => {
  const loss: Loss = {
    state: "NODE_FAIL",
    element: "7_2",
    node: "n1",
    shape,
    began: true,
    advanced: false,
    told: undefined,
    byUs: false,
    lostRecords: false,
    memory: 2 ** 30,
    tail: "",
    losses: 1,
  };
  const failure = (more: Partial<Loss>): string => {
    const verdict = verdictOn({ ...loss, ...more });
    return verdict.kind === "fail" ? `${verdict.error.kind}: ${verdict.error.message}` : verdict.kind;
  };

  it("is submitted again where the cluster is to blame, but not for ever", () => {
    for (const state of ["NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "COMPLETED", undefined]) {
      expect(failure({ state })).toBe("again");
    }
    expect(failure({ losses: 3 })).toMatch(/lost 3 times in a row/);
    expect(failure({ losses: 30, advanced: true })).toBe("again");
    expect(failure({ state: "PREEMPTED", losses: 30 })).toBe("again");
    expect(failure({ state: "CANCELLED", byUs: true, losses: 30 })).toBe("again");
  });

  it("fails with what to change where it would be lost again", () => {
    expect(failure({ state: "OUT_OF_MEMORY" })).toBe(
      "cluster: 7_2 ran out of memory on n1: it asked for 2.0 GiB, and held at least 1.0 GiB",
    );
    expect(failure({ state: "FAILED", tail: "slurmstepd: error: Detected 1 oom_kill event" })).toMatch(
      /out of memory/,
    );
    expect(failure({ state: "TIMEOUT" })).toMatch(/^timeout: 7_2 used up its 12 h/);
    expect(failure({ state: "TIMEOUT", advanced: true })).toBe("again");
    expect(failure({ state: "CANCELLED", lostRecords: true })).toMatch(/cancelled from outside/);
    expect(failure({ state: "CANCELLED", lostRecords: true, began: false })).toBe("again");
    expect(failure({ state: "FAILED", tail: "a\nb\n" })).toBe(
      "crash: the worker of 7_2 ended on n1 without a result (FAILED): b",
    );
    expect(failure({ state: "FAILED", began: false, tail: "sh: node: not found" })).toMatch(
      /^crash: no worker came up/,
    );
    // Warned, it had nothing to save, and ended.
    expect(failure({ state: "COMPLETED", told: "time" })).toMatch(/^timeout: 7_2 used up/);
  });
});

describe("submissions", () => {
  it("are few a minute, and pause and become smaller where Slurm takes no more", () => {
    let now = 0;
    const throttle = createThrottle(() => now);
    for (let i = 0; i < 10; i++) {
      expect(throttle.maySend()).toBe(true);
      throttle.sent("accepted", 1);
    }
    expect(throttle.maySend()).toBe(false);
    now = 60_000;
    expect(throttle.maySend()).toBe(true);
    throttle.sent("full", 600);
    expect(throttle.most()).toBe(300);
    expect(throttle.maySend()).toBe(false);
    now += 5_000;
    expect(throttle.maySend()).toBe(true);
    throttle.sent("accepted", 300);
    expect(throttle.most()).toBe(600);
  });

  it("stay smaller where the cluster takes no larger arrays, and are tried at once", () => {
    const throttle = createThrottle(() => 0);
    throttle.sent("large", 1_000);
    expect(throttle.most()).toBe(500);
    expect(throttle.maySend()).toBe(true);
    throttle.sent("accepted", 500);
    expect(throttle.most()).toBe(500);
  });
});
