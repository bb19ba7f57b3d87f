import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import type { StepId } from "../../engine/model/ids.ts";
import type { Reporter } from "../../engine/model/reporter.ts";
import { columns } from "../../engine/report/columns.ts";
import * as format from "../../engine/report/format.ts";
import { createJsonReporter } from "../../engine/report/json.ts";
import { createPlainReporter } from "../../engine/report/plain.ts";
import { cut } from "../../engine/tui/text.ts";
import { gridRun } from "../terminal/fixtures/grid-run.ts";
import fc from "../rig/fast-check.ts";

interface Recorded {
  readonly stream: PassThrough;
  lines(): readonly string[];
}

function record(): Recorded {
  const stream = new PassThrough({ highWaterMark: 1 << 24 });
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
  return { stream, lines: () => text.split("\n").slice(0, -1) };
}

async function report(reporter: Reporter, events: readonly RunEvent[]): Promise<void> {
  for (const event of events) reporter.event(event);
  await reporter.close();
}

async function plainLines(events: readonly RunEvent[], interactive = true): Promise<readonly string[]> {
  const out = record();
  await report(createPlainReporter({ stream: out.stream, color: false, interactive }), events);
  return out.lines();
}

describe("plain reporter", () => {
  it("says what begins, what is done and how it ended, without the cached steps", async () => {
    const lines = await plainLines(gridRun({ gammas: 2, failing: 0 }));
    expect(lines[0]).toBe("table-10  run 20261124-030500-4f2a, backend wasm, 4 cpu");
    expect(lines[1]).toMatch(/^\[0:00\] plan: \d+ steps, \d+ to run$/);
    const started = lines.filter((line) => line.includes(" start   pretrain["));
    const done = lines.filter((line) => line.includes(" done    pretrain["));
    expect([started.length, done.length]).toEqual([4, 4]);
    expect(lines.some((line) => line.includes("roco"))).toBe(false);
    expect(lines.at(-1)).toMatch(/^table-10 succeeded in \d+ s: \d+ ran, 2 cached$/);
  });

  it("prints the table and the files of the run's results, and where the time went", async () => {
    const lines = await plainLines(gridRun({ gammas: 2, failing: 0 }));
    expect(lines).toContain("AUC by noise, gamma and head  table");
    expect(lines).toContain("| image | 0 | 0.81 | 0.83 | 0.86 |");
    expect(lines).toContain("  /home/ada/thesis/.ranflow/objects/ab/table.md");
    const time = lines.indexOf("Where the time went");
    expect(time).toBeGreaterThan(0);
    expect(lines[time + 1]).toMatch(/^ {2}pretrain +\d+ s +\d+% {2}4 executions, [\d.]+ s each$/);
  });

  it("shows progress of long steps at most every five seconds, with rate, time left and loss", async () => {
    const lines = await plainLines(gridRun({ gammas: 2 }));
    const progress = lines.filter((line) => /pretrain\[.*\] {2}\d+%/.test(line));
    expect(progress.length).toBeGreaterThan(0);
    expect(progress.length).toBeLessThanOrEqual(8);
    expect(progress[0]).toMatch(/\d+%, \d+\/1,000 steps, .*\d\/s, \d+ s left, loss \d\.\d+$/);
  });

  it("says which part of a grid runs, and names the store in what to do next where the user named it", async () => {
    const selection = { selected: 12, of: 316 };
    const events = gridRun({ gammas: 2, failing: 0.3 }).map((event): RunEvent => {
      if (event.type === "plan-ready") return { ...event, selection };
      return event.type === "run-started" ? { ...event, storeOption: "my store" } : event;
    });
    const lines = await plainLines(events);
    expect(lines[1]).toMatch(/^\[0:00\] plan: 12 of 316 steps selected, and \d+ that they need, \d+ to run$/);
    expect(lines[lines.indexOf("next:") + 1]).toMatch(
      /^ {2}ranflow log --store 'my store' 'evaluate\[.*\]'$/,
    );
  });

  it("shows a failure with reason, hint, place and log, and says what to do next", async () => {
    const lines = await plainLines(gridRun({ gammas: 2, failing: 0.3 }));
    const failed = lines.findIndex((line) => / failed {2}evaluate\[/.test(line));
    expect(lines.slice(failed + 1, failed + 7)).toEqual([
      "  AUC is not defined: label Pneumonia has positives only",
      "  hint: leave the label out with labels, or evaluate on more images",
      "  at table-10.yaml:41:3",
      "  last lines of its log:",
      "    training on 360 pairs, batch size 16",
      "    label Pneumonia has one class only",
    ]);
    const next = lines.indexOf("next:");
    expect(lines[next + 1]).toMatch(/^ {2}ranflow log 'evaluate\[.*\]'$/);
    expect(lines[next + 2]).toBe("  the same command again runs only what is not done");
    // One reason is told once, however many steps failed for it.
    const summary = lines.slice(lines.indexOf("Where the time went"));
    expect(summary.filter((line) => line.includes("AUC is not defined"))).toHaveLength(1);
    expect(summary.some((line) => /and \d+ other steps? for the same reason/.test(line))).toBe(true);
  });

  it("stays short in a large grid: counts instead of steps", async () => {
    const events = gridRun({ gammas: 40, failing: 0 });
    const lines = await plainLines(events);
    expect(lines.length).toBeLessThan(120);
    expect(lines.some((line) => / start {3}/.test(line))).toBe(false);
    const counts = lines.filter((line) => /^\[\d+:\d+\] [\d,]+\/1,1\d\d steps, .*running, /.test(line));
    expect(counts.length).toBeGreaterThan(5);
  });

  it("prints the same for the same events", async () => {
    const events = gridRun({ gammas: 4 });
    expect(await plainLines(events)).toEqual(await plainLines(events));
  });

  it("lets no log line or error move the cursor or change colours", async () => {
    const evil = "\u001b[2J\u001b[31mred\u001b]0;title\u0007\rover\u0008\u009b1A";
    const step = "train" as StepId;
    const at = (n: number, body: object): RunEvent => ({ n, t: n, ...body }) as RunEvent;
    const lines = await plainLines([
      at(1, {
        type: "plan-ready",
        nodes: [{ name: "train", type: "t", axes: [], steps: [step] }],
        statuses: ["run"],
        executions: { atLeast: 1, atMost: 1 },
      }),
      at(2, { type: "step-log", step, level: "warning", message: evil }),
      at(3, {
        type: "step-failed",
        step,
        attempt: 1,
        duration: 1,
        error: { kind: "node", message: evil, hint: evil },
        willRetry: false,
      }),
    ]);
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    expect(lines.join("\n")).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(lines.join("\n")).toContain("red");
  });

  it("goes on from a state: the run that the terminal UI was left with", async () => {
    const events = gridRun({ gammas: 2, failing: 0 });
    const { reduce, initialRunState } = await import("../../engine/model/run-state.ts");
    const cut = events.length - 40;
    const state = events.slice(0, cut).reduce(reduce, initialRunState);
    const out = record();
    const reporter = createPlainReporter({ stream: out.stream, color: false, state });
    await report(reporter, events.slice(cut));
    const whole = await plainLines(events);
    expect(out.lines().at(-1)).toBe(whole.at(-1));
    expect(out.lines().some((line) => line.includes("plan:"))).toBe(false);
  });

  it("colours only where colours are wanted", async () => {
    const out = record();
    await report(createPlainReporter({ stream: out.stream, color: true }), gridRun({ gammas: 2 }));
    expect(out.lines().join("\n")).toContain("\u001b[32mdone\u001b[39m");
  });
});

describe("json reporter", () => {
  it("writes every event as one line", async () => {
    const events = gridRun({ gammas: 2 });
    const out = record();
    await report(createJsonReporter({ stream: out.stream }), events);
    expect(out.lines().map((line) => JSON.parse(line) as RunEvent)).toEqual(events);
  });
});

describe.each(["plain", "json"])("%s reporter on a closed pipe", (kind) => {
  const create = (stream: NodeJS.WritableStream): Reporter =>
    kind === "plain" ? createPlainReporter({ stream, color: false }) : createJsonReporter({ stream });

  it("goes on silently, and can be closed", async () => {
    const stream = new PassThrough();
    const reporter = create(stream);
    const events = gridRun({ gammas: 2 });
    for (const event of events.slice(0, 5)) reporter.event(event);
    stream.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    await report(reporter, events.slice(5));
    expect(stream.destroyed).toBe(true);
  });
});

describe("columns", () => {
  it("line up, numbers at their ends, of more rows than a function takes arguments", () => {
    const rows = Array.from({ length: 200_000 }, (_, i) => ["ab".slice(i % 2), String(i)]);
    const lines = columns([["name", "n"], ...rows], [false, true]);
    expect(lines.slice(0, 3)).toEqual(["name       n", "ab         0", "b          1"]);
    expect(lines.at(-1)).toBe("b     199999");
  });
});

describe("format", () => {
  it.each([
    [0, "0 ms"],
    [850, "850 ms"],
    [999.6, "1.0 s"],
    [4230, "4.2 s"],
    [9_960, "10 s"],
    [59_600, "1m 00s"],
    [65_000, "1m 05s"],
    [7_440_000, "2h 04m"],
    [277_200_000, "3d 05h"],
    [Number.NaN, "?"],
  ])("duration %d is %s", (milliseconds, text) => {
    expect(format.formatDuration(milliseconds)).toBe(text);
  });

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [999_600, "1.0 MB"],
    [3_400_000, "3.4 MB"],
    [123_000_000_000, "123 GB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(format.formatBytes(bytes)).toBe(text);
  });

  it.each([
    [41.2, "image", "41 images/s"],
    [3.21, "step", "3.2 steps/s"],
    [0.2, "caption", "12 captions/min"],
    [0.001, "", "3.6/h"],
  ])("%d %s a second is %s", (perSecond, unit, text) => {
    expect(format.formatRate(perSecond, unit)).toBe(text);
  });

  it.each([
    [0.7182, "0.7182"],
    [12.4123, "12.41"],
    [0.00003, "3.0e-5"],
    [0, "0"],
    [Number.NaN, "nan"],
    [Number.NEGATIVE_INFINITY, "-inf"],
  ])("value %d is %s", (value, text) => {
    expect(format.formatValue(value)).toBe(text);
  });

  it("rounds no share up to 100% or down to 0%", () => {
    expect(format.formatPercent(0.001)).toBe("<1%");
    expect(format.formatPercent(0)).toBe("0%");
    expect(format.formatPercent(0.9999)).toBe("99%");
    expect(format.formatPercent(1)).toBe("100%");
  });

  it("groups digits and counts nouns", () => {
    expect(format.formatCount(1234567)).toBe("1,234,567");
    expect([format.plural(1, "step"), format.plural(1200, "step")]).toEqual(["1 step", "1,200 steps"]);
  });

  it.each([
    [7_900, "0:07"],
    [760_000, "12:40"],
    [3_729_000, "1:02:09"],
  ])("clock %d is %s", (milliseconds, text) => {
    expect(format.formatClock(milliseconds)).toBe(text);
  });
});

describe("text that is printed", () => {
  const acting = /[^\P{Cc}\n\t]|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;
  const pieces = fc.constantFrom(
    ..."\u001b|[|]|52;c;|\u0007|\u001b\\|2J|m|31|\u009b|\u009d|\r|\n|\t|\0|\u007f|\u202e|\u2066|a|\u001b[1m|é".split(
      "|",
    ),
  );
  const texts = fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join(""));

  it("cannot act on a terminal, however it is cut into writes; styles stay where they are wanted", () => {
    fc.assert(
      fc.property(texts, texts, (one, two) => {
        const plain = format.inert(one, { color: false }) + format.inert(two, { color: false });
        expect(plain).not.toMatch(acting);
        const styles = new RegExp(String.raw`\u001b\[[0-9;]*m`, "g");
        const styled = format.inert(one, { color: true }) + format.inert(two, { color: true });
        expect(styled.replace(styles, "")).not.toMatch(acting);
        expect(format.inert(plain, { color: false })).toBe(plain);
        expect(format.printable(one)).not.toMatch(acting);
        expect(cut(one, 80, "")).not.toMatch(/\p{Cc}|\u202e/u);
      }),
      { numRuns: 300 },
    );
    expect(format.inert("\u001b[31mred\u001b[0m", { color: true })).toBe("\u001b[31mred\u001b[0m");
    expect(format.inert("\u001b[31mred", { color: false })).toBe(String.raw`\u001b[31mred`);
  });

  it("means the same in JSON", () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(JSON.parse(format.inert(JSON.stringify({ [text]: text }), { color: false }))).toEqual({
          [text]: text,
        });
      }),
    );
  });
});
