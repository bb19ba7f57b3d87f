import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { gridRun } from "./fixtures/grid-run.ts";

const cli = fileURLToPath(new URL("fixtures/watch-cli.ts", import.meta.url));
const events = gridRun({ gammas: 2, failing: 0 });
const failing = gridRun({ gammas: 2, failing: 0.5 });

let store: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "ranflow-watch-"));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(store, { recursive: true, force: true });
});

interface Command {
  readonly child: ChildProcess;
  /** Resolves once stdout holds the text. */
  seen(text: string): Promise<void>;
  stdout(): string;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

function ranflow(...args: readonly string[]): Command {
  const child = spawn(process.execPath, [cli, ...args, "--store", store], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
  });
  children.push(child);
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("utf8");
    for (const watcher of watchers) watcher();
  });
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString("utf8")));
  return {
    child,
    stdout: () => stdout,
    seen: (text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!stdout.includes(text)) return;
          watchers.delete(look);
          resolve();
        };
        watchers.add(look);
        look();
      }),
    ended: once(child, "close").then(([code]) => ({ code: code as number | null, stdout, stderr })),
  };
}

/** The log as a driver with this pid writes it. */
const lines = (list: readonly RunEvent[], pid: number, host = hostname()): string =>
  list
    .map((event) => `${JSON.stringify(event.type === "run-started" ? { ...event, pid, host } : event)}\n`)
    .join("");

async function logOf(id: string, text: string): Promise<string> {
  const folder = join(store, "runs", id);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "events.ndjson"), text);
  return join(folder, "events.ndjson");
}

/** The pid of a process that is no more. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "close");
  return child.pid ?? 0;
}

describe("ranflow watch", () => {
  it("shows a run as it goes on, and ends with it", async () => {
    const text = lines(events, process.pid);
    const middle = Math.floor(text.length / 2);
    const path = await logOf("20261124-030500-aaaa", text.slice(0, middle));
    const watch = ranflow("watch", "--ui", "plain");
    await watch.seen("plan: ");
    expect(watch.stdout()).not.toContain("succeeded in");
    // Half a line first: what is being written is waited for.
    await appendFile(path, text.slice(middle));
    const { code, stdout } = await watch.ended;
    expect(stdout).toContain("table-10 succeeded in");
    expect(code).toBe(0);
  });

  it("passes every event on as JSON", async () => {
    await logOf("20261124-030500-aaaa", lines(events, process.pid));
    const { stdout } = await ranflow("watch", "--ui", "json").ended;
    const seen = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as RunEvent);
    expect(seen.map(({ n }) => n)).toEqual(events.map(({ n }) => n));
  });

  it("ends with the exit code of the run", async () => {
    await logOf("20261124-030500-aaaa", lines(failing, process.pid));
    expect((await ranflow("watch", "--ui", "plain").ended).code).toBe(1);
  });

  it("says so when the driver has died, torn line and all", async () => {
    const text = lines(events.slice(0, 200), await deadPid());
    await logOf("20261124-030500-aaaa", text.slice(0, -20));
    const { code, stdout, stderr } = await ranflow("watch", "--ui", "plain").ended;
    expect(code).toBe(1);
    expect(stdout).toContain("table-10 not finished in");
    expect(stderr).toContain("run 20261124-030500-aaaa did not finish: its process is gone");
  });

  it("does not judge a driver on another machine by a pid of this one", async () => {
    const path = await logOf(
      "20261124-030500-aaaa",
      lines(events.slice(0, 200), await deadPid(), "elsewhere"),
    );
    const watch = ranflow("watch", "--ui", "plain");
    await watch.seen("plan: ");
    await appendFile(path, lines(events.slice(200), 0));
    expect((await watch.ended).code).toBe(0);
  });

  it("takes the newest run unless told, and any unambiguous beginning of an id", async () => {
    await logOf("20261123-080000-bbbb", lines(failing, process.pid));
    await logOf("20261124-030500-aaaa", lines(events, process.pid));
    expect((await ranflow("watch", "--ui", "plain").ended).code).toBe(0);
    expect((await ranflow("watch", "20261123", "--ui", "plain").ended).code).toBe(1);
    const ambiguous = await ranflow("watch", "2026", "--ui", "plain").ended;
    expect(ambiguous.code).toBe(2);
    expect(ambiguous.stderr).toContain("several runs begin with 2026");
    const unknown = await ranflow("watch", "1999", "--ui", "plain").ended;
    expect(unknown.stderr).toMatch(
      /there is no run 1999 .*\n {2}20261124-030500-aaaa\n {2}20261123-080000-bbbb/,
    );
  });

  it("says where it looked when there is no run", async () => {
    const { code, stderr } = await ranflow("watch").ended;
    expect(code).toBe(2);
    expect(stderr).toContain(`there is no run in the store ${store}`);
  });
});

describe("ranflow replay", () => {
  it("prints what the run printed", async () => {
    await logOf("20261124-030500-aaaa", lines(failing, process.pid));
    const [watched, replayed] = [ranflow("watch", "--ui", "plain"), ranflow("replay", "--ui", "plain")];
    const [{ stdout }, again] = await Promise.all([watched.ended, replayed.ended]);
    expect(again.stdout).toBe(stdout);
    expect(again.code).toBe(0);
  });

  it("passes over lines that a crash or a disk has damaged", async () => {
    const whole = lines(events, process.pid).split("\n");
    whole[150] = whole[150]?.slice(0, 10) ?? "";
    whole.splice(170, 0, "\u0000\u0000\u0000", "null", "[]", "{}");
    await logOf("20261124-030500-aaaa", whole.join("\n"));
    const { code, stdout } = await ranflow("replay", "--ui", "plain").ended;
    expect(code).toBe(0);
    expect(stdout).toContain("table-10 succeeded in");
  });

  it("refuses a speed that is none", async () => {
    await logOf("20261124-030500-aaaa", lines(events, process.pid));
    const { code, stderr } = await ranflow("replay", "--speed", "0").ended;
    expect(code).not.toBe(0);
    expect(stderr).toContain("expected a number above 0");
  });

  it("ends at once when nobody reads it any more", async () => {
    await logOf("20261124-030500-aaaa", lines(gridRun({ gammas: 20 }), process.pid));
    const replay = ranflow("replay", "--ui", "json");
    replay.child.stdout?.destroy();
    expect((await replay.ended).code).toBe(0);
  });
});
