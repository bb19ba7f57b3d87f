import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { gridRun } from "./fixtures/grid-run.ts";
import { buildShowRun } from "./rig/build.ts";
import { openShow } from "./rig/show.ts";
import type { Show, ShowOptions } from "./rig/show.ts";

let script: string;
let show: Show | undefined;

beforeAll(async () => {
  script = await buildShowRun();
});

afterEach(async () => {
  await show?.dispose();
  show = undefined;
});

async function start(options: Partial<ShowOptions> = {}): Promise<Show> {
  show = await openShow({ script, columns: 80, rows: 24, ...options });
  return show;
}

const run = gridRun({ failing: 0.05 });
/** Everything up to the moment when some evaluations have failed and others run. */
const middle = run.slice(0, run.findIndex((event) => event.type === "step-failed") + 40);
const rest = run.slice(middle.length);

const footer = (text: string): string => text.split("\n").findLast((row) => row !== "") ?? "";

describe.each([
  [80, 24],
  [200, 50],
])("a 300-step grid at %d x %d", (columns, rows) => {
  it("fits: header on top, keys at the bottom, nothing scrolled, nothing beyond the edge", async () => {
    const { screen, send } = await start({ columns, rows });
    await send(middle);
    const text = await screen.until((now) => now.includes("─ Failed"), "a failure");
    expect(screen.isAlternate()).toBe(true);
    const shown = text.split("\n");
    expect(shown).toHaveLength(rows);
    expect(shown[0]).toMatch(/^ table-10 {2}running/);
    expect(shown[1]).toMatch(/\d+\/300 /);
    expect(footer(text)).toMatch(/q leave$/);
    for (const pane of ["Nodes", "Failed", "Running", "Log"])
      expect(shown.filter((row) => row.includes(`─ ${pane} `))).toHaveLength(1);
    expect(screen.scrolled()).toBe(0);
    // Bars, rates and sparklines of what runs.
    expect(text).toMatch(/◆ \w+\[.*━.*%/);
  });

  it("keeps every frame of a whole run on the screen, and leaves a summary", async () => {
    const { screen, send, command, modes } = await start({ columns, rows });
    await screen.until((_, now) => now.isAlternate(), "the alternate screen");
    const before = screen.scrolled();
    // In small parts, so that many frames are drawn.
    for (let at = 0; at < run.length; at += 150) {
      await send(run.slice(at, at + 150));
      expect(screen.scrolled()).toBe(before);
    }
    await screen.until((text) => text.includes("table-10  failed"), "the end of the run");
    command({ kind: "close" });
    const { before: cooked, after } = await modes();
    expect(after).toBe(cooked);
    expect(screen.isAlternate()).toBe(false);
    expect(screen.text()).toMatch(/table-10 failed in 2m 0\ds: \d+ ran, 2 cached, \d+ failed/);
    expect(screen.text()).toContain("ranflow log 'evaluate[");
    expect(screen.text()).toContain("code 0\nafter the run");
    // What a package writes to the standard error at the end acts on the terminal, and is not spelt out there.
    expect(screen.text()).not.toContain("[?25h");
  });
});

describe("strips", () => {
  it("show each step of a node as a cell with a glyph of its own", async () => {
    const { screen, send } = await start();
    await send(middle);
    await screen.until((text) => /evaluate +■+✗[✗◆■○]+.* \d+\/120/.test(text), "evaluations");
    screen.type("g");
    await screen.until((text) => text.includes("❯ roco"), "the first node");
    expect(screen.text()).toMatch(/pretrain +■{20} +20\/20/);
    expect(screen.text()).toMatch(/roco +□ +1\/1/);
    expect(screen.text()).toMatch(/rewritten ■ +1\/1/);
  });

  it("aggregate what does not fit: 10,000 steps, failures still in sight", async () => {
    const many = manySteps(10_000);
    const { screen, send } = await start();
    await send(many);
    await screen.until((text) => text.includes("6,000/10,000"), "6,000 settled steps");
    const strip = screen.rows().find((row) => row.includes("❯ train"));
    expect(strip).toMatch(/■+✗■+[▒○·◆]+/);
    expect(screen.scrolled()).toBe(0);
  });

  it("are drawn in ASCII where the locale is not UTF-8", async () => {
    const { screen, send } = await start({ env: { LANG: "C" } });
    await send(middle);
    await screen.until((text) => /evaluate +#+X[#X>o]+/.test(text), "an ASCII strip");
    // oxlint-disable-next-line no-control-regex -- all of ASCII
    expect(screen.text()).toMatch(/^[\x00-\x7f]*$/);
  });

  it("tell phases apart without colour", async () => {
    const { screen, send } = await start({ env: { NO_COLOR: "1" } });
    await send(middle);
    await screen.until((text) => text.includes("✗"), "a failure");
    // oxlint-disable-next-line no-control-regex -- colours are escape sequences
    expect(screen.raw()).not.toMatch(/\u001b\[(?:\d+;)*(?:3[0-7]|38|9[0-7])(?:;\d+)*m/);
  });
});

describe("resizing while running", () => {
  it.each([
    [200, 50],
    [80, 12],
    [40, 24],
    [30, 6],
    [120, 40],
  ])("to %d x %d draws the whole screen anew and goes on", async (columns, rows) => {
    const { screen, send } = await start({ columns: 100, rows: 30 });
    await send(middle.slice(0, -100));
    await screen.until((text) => text.includes("Nodes"), "the nodes");
    screen.resize(columns, rows);
    await send(middle.slice(-100));
    const count = (shown: readonly string[], text: string): number =>
      shown.filter((row) => row.includes(text)).length;
    await screen.until((_, now) => {
      const shown = now.rows();
      const framed = (shown[0] ?? "").startsWith(" table-10") && (shown[rows - 2] ?? "").includes("q leave");
      return framed && count(shown, "table-10") === 1 && count(shown, "─ Nodes") === 1;
    }, "one frame of the new size");
    expect(screen.scrolled()).toBe(0);
  });

  it("many times over leaves one clean frame", async () => {
    const { screen, send } = await start();
    for (const [index, columns] of [200, 60, 140, 80, 33, 100].entries()) {
      screen.resize(columns, 12 + index * 5);
      await send(middle.slice(index * 200, (index + 1) * 200));
    }
    await send(middle.slice(1200));
    await screen.until((text, now) => {
      const shown = now.rows();
      const framed =
        /table-10 {2}running/.test(shown[0] ?? "") &&
        (shown.at(-2) ?? "").includes("q leave") &&
        text.includes("Failed");
      return (
        framed &&
        ["table-10", "q leave"].every((words) => shown.filter((row) => row.includes(words)).length === 1)
      );
    }, "one clean frame");
  });
});

describe("keys", () => {
  it("move over nodes and steps, and enter opens the log of the step", async () => {
    const { screen, send } = await start();
    await send(middle);
    await screen.until((text) => text.includes("❯ evaluate"), "the node that the run is at");
    screen.type("gjjj");
    await screen.until((text) => text.includes("❯ noisy"), "the fourth node");
    screen.type("\u001b[A");
    await screen.until((text) => text.includes("❯ rewritten"), "the third node");
    screen.type("G");
    await screen.until((text) => text.includes("❯ summary"), "the last node");
    screen.type("g");
    await screen.until((text) => text.includes("❯ roco"), "the first node again");
    screen.type("jjjjll");
    await screen.until((text) => text.includes("pretrain[noise=image,gamma=5] succeeded"), "the second step");
    screen.type("\r");
    await screen.until((text) => text.includes("follows the log"), "its log");
    expect(screen.text()).toContain("training on 360 pairs, batch size 16");
    screen.type("q");
    await screen.until((text) => text.includes("─ Nodes"), "the main screen");
  });

  it("filter steps, and escape takes it back", async () => {
    const { screen, send } = await start();
    await send(middle);
    await screen.until((text) => text.includes("attention"), "all nodes");
    screen.type("/gamma=10 mlp");
    await screen.until(
      (text) => text.includes("filter: gamma=10 mlp") && !text.includes("roco"),
      "less nodes",
    );
    expect(screen.text()).toMatch(/finetune +■■ /);
    screen.type("\r");
    await screen.until((text) => footer(text).includes("/gamma=10 mlp"), "the filter in the footer");
    screen.type("\u001b");
    await screen.until((text) => text.includes("attention"), "all nodes again");
  });

  it("ask before they cancel", async () => {
    const { screen, send, heard } = await start();
    await send(middle);
    await screen.until((text) => text.includes("Failed"), "the failed pane");
    screen.type("\t\t");
    await screen.until((text) => /❯ evaluate.*%/.test(text), "a selected running step");
    screen.type("x");
    await screen.until((text) => footer(text).includes("y/n"), "the question");
    screen.type("n");
    await screen.until((text) => footer(text).includes("q leave"), "no answer taken");
    screen.type("xy");
    expect(await heard()).toMatch(/^cancel evaluate\[/);
    await screen.until((text) => footer(text).includes("cancelling evaluate["), "the notice");
  });

  it("retry, stop and show help", async () => {
    const { screen, send, heard } = await start();
    await send(middle);
    await screen.until((text) => text.includes("Failed"), "the failed pane");
    screen.type("r");
    expect(await heard()).toBe("retry");
    screen.type("\u0003");
    expect(await heard()).toBe("stop");
    const stopping = { type: "run-stopping", how: "checkpoint", n: 1e6, t: middle.at(-1)?.t ?? 0 } as const;
    await send([stopping]);
    await screen.until((text) => text.includes("stopping"), "the stop");
    screen.type("?");
    await screen.until((text) => text.includes("any key goes back"), "the help");
    screen.type(" ");
    await screen.until((text) => text.includes("─ Nodes"), "the main screen");
  });

  it("leave the UI while the run goes on as plain lines", async () => {
    const { screen, send, command, heard, modes } = await start();
    await send(middle);
    await screen.until((text) => text.includes("Failed"), "the failed pane");
    screen.type("q");
    expect(await heard()).toBe("leave");
    await screen.until(
      (text, now) => !now.isAlternate() && text.includes("before the run"),
      "the main screen",
    );
    await send(rest);
    command({ kind: "close" });
    const { before, after } = await modes();
    expect(after).toBe(before);
    expect(screen.raw().slice(screen.raw().lastIndexOf("\u001b[?1049l"))).toMatch(/\/300 steps, 2 cached/);
    expect(screen.text()).toContain("table-10 failed in");
  });

  it("that act do nothing in a window that only watches", async () => {
    const { screen, send, heard } = await start({ env: { RANFLOW_TEST_WATCH: "1" } });
    await send(middle);
    await screen.until((text) => text.includes("Failed"), "the failed pane");
    expect(footer(screen.text())).not.toContain("cancel");
    screen.type("r");
    await screen.until((text) => footer(text).includes("only watches"), "the notice");
    screen.type("\u0003");
    expect(await heard()).toBe("leave");
  });
});

describe("a run that is over at once", () => {
  it("shows its summary and never takes the screen", async () => {
    const { screen, command, modes } = await start({ env: { RANFLOW_TEST_PATIENT: "1" } });
    command({ kind: "events", events: [...run.slice(0, 4), ...run.slice(-1)] });
    command({ kind: "close" });
    const { before, after } = await modes();
    expect(after).toBe(before);
    expect(screen.raw()).not.toContain("\u001b[?1049h");
    expect(screen.text()).toMatch(/table-10 failed in 2m/);
  });
});

describe("whatever happens, the terminal is given back", () => {
  const cursorShown = (raw: string): boolean =>
    raw.lastIndexOf("\u001b[?25h") > raw.lastIndexOf("\u001b[?25l");

  it("after a crash, with the error in sight", async () => {
    const { screen, send, command, modes } = await start();
    await send(middle);
    await screen.until((text) => text.includes("─ Nodes"), "the nodes");
    command({ kind: "crash" });
    const { before, after } = await modes();
    expect(after).toBe(before);
    expect(screen.isAlternate()).toBe(false);
    expect(cursorShown(screen.raw())).toBe(true);
    expect(screen.text()).toContain("a bug in the driver");
  });

  it("after SIGTERM", async () => {
    const { screen, send, modes } = await start();
    await send(middle);
    await screen.until((text) => text.includes("Nodes"), "the nodes");
    // The shell waits for its child: the signal goes to the child alone.
    const pid = /pid (\d+)/.exec(await askPid())?.[1];
    process.kill(Number(pid), "SIGTERM");
    const { before, after } = await modes();
    expect(after).toBe(before);
    expect(screen.isAlternate()).toBe(false);
    expect(cursorShown(screen.raw())).toBe(true);
  });

  it("and stray output of libraries waits until then", async () => {
    const { screen, send, command, heard, modes } = await start();
    await send(middle);
    await screen.until((text) => text.includes("Failed"), "the failed pane");
    command({ kind: "noise", text: "libfoo: deprecated" });
    expect(await heard()).toBe("taken");
    await send(rest);
    await screen.until((text) => text.includes("table-10  failed"), "the end");
    expect(screen.text()).not.toContain("libfoo");
    command({ kind: "close" });
    await modes();
    expect(screen.raw().match(/libfoo: deprecated/g)).toHaveLength(2);
  });
});

async function askPid(): Promise<string> {
  show?.command({ kind: "pid" });
  return (await show?.heard()) ?? "";
}

function manySteps(count: number): readonly RunEvent[] {
  const steps = Array.from({ length: count }, (_, index) => `train[run=${index}]`);
  const bodies: object[] = [
    {
      type: "run-started",
      run: "r",
      pipeline: "table-10",
      path: "p",
      sets: [],
      cwd: "/",
      store: "s",
      version: "0",
      pid: 1,
      slots: { cpu: 2, memory: 0, gpu: 0 },
      backend: "wasm",
    },
    {
      type: "plan-ready",
      nodes: [{ name: "train", type: "head.train", axes: ["run"], steps }],
      statuses: steps.map(() => "run"),
      executions: { atLeast: count, atMost: count },
    },
    ...steps.slice(0, 6000).map((step, index) =>
      index === 2000
        ? {
            type: "step-failed",
            step,
            attempt: 1,
            duration: 5,
            error: { kind: "node", message: "no" },
            willRetry: false,
          }
        : { type: "step-succeeded", step, key: "k", duration: 5 },
    ),
    { type: "step-started", step: steps[6000], attempt: 1, phase: "run", worker: 0 },
  ];
  return bodies.map((body, n) => ({ ...body, n, t: 1_790_000_000_000 + n }) as RunEvent);
}
