/** What a worker on a cluster writes to the shared folder, be that away for a while, and how often it looks there. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { writeEnd } from "../../engine/worker/claims.ts";
import { openFileTransport } from "../../engine/worker/file-transport.ts";
import type { FileTransport } from "../../engine/worker/file-transport.ts";
import { untilWritten } from "../../engine/worker/until-written.ts";

vi.mock("node:fs", async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  return {
    ...real,
    appendFileSync: vi.fn<typeof fs.appendFileSync>(real.appendFileSync),
    writeFileSync: vi.fn<typeof fs.writeFileSync>(real.writeFileSync),
  };
});
const { appendFileSync } = await vi.importActual<typeof fs>("node:fs");

/** How often the answers were read, and what a read waits for. */
let reads = 0;
let reading: Promise<void> = Promise.resolve();
vi.mock("../../engine/worker/line-reader.ts", () => ({
  createLineReader: () => ({
    async read() {
      reads++;
      await reading;
      return [];
    },
  }),
}));

const full = (): Error => Object.assign(new Error("no space left on device"), { code: "ENOSPC" });

/** The next append writes so many bytes, and fails then. */
const failAfter = (bytes: number): void => {
  vi.mocked(fs.appendFileSync).mockImplementationOnce((file, data) => {
    appendFileSync(file, Buffer.from(data as string).subarray(0, bytes));
    throw full();
  });
};

let folder: string;
const transports: FileTransport[] = [];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  folder = fs.mkdtempSync(join(tmpdir(), "ranflow-transport-"));
});
afterEach(() => {
  for (const transport of transports.splice(0)) transport.close();
  vi.useRealTimers();
  vi.mocked(fs.appendFileSync).mockReset();
  vi.mocked(fs.writeFileSync).mockReset();
});

const open = (): FileTransport => {
  const transport = openFileTransport({
    out: join(folder, "out"),
    in: join(folder, "in"),
    patience: 60_000,
    onNobody: () => {},
  });
  transports.push(transport);
  return transport;
};

const say = (transport: FileTransport, line: string): void => transport.send({ kind: "output", line });

const said = (): readonly string[] =>
  fs
    .readFileSync(join(folder, "out"), "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { line: string }).line);

describe("lines that cannot be written", () => {
  it.each([0, 10, 40, 1_000])("are there later, whole and once, where %i bytes were", async (bytes) => {
    const transport = open();
    say(transport, "before");
    await vi.advanceTimersByTimeAsync(300);
    failAfter(bytes);
    say(transport, "Hälfte");
    say(transport, "second");
    await vi.advanceTimersByTimeAsync(300);
    failAfter(3);
    say(transport, "third");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(said()).toEqual(["before", "Hälfte", "second", "third"]);
  });

  it("come after what an earlier process has left in the file", async () => {
    fs.writeFileSync(join(folder, "out"), `${JSON.stringify({ kind: "output", line: "earlier" })}\n`);
    const transport = open();
    failAfter(4);
    say(transport, "first");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(said()).toEqual(["earlier", "first"]);
  });

  it("fail neither a question nor the end, and can be written after it", () => {
    const transport = open();
    failAfter(5);
    transport.send({ kind: "ask", ask: 0, question: { what: "memo-get", keys: [] } });
    failAfter(5);
    transport.close();
    say(transport, "last words");
    expect(vi.getTimerCount()).toBe(0);
    transport.close();
    expect(said()).toEqual([undefined, "last words"]);
  });
});

it("looks for answers once at a time, however many questions come while it does", async () => {
  const transport = open();
  const held = Promise.withResolvers<void>();
  reading = held.promise;
  await vi.advanceTimersByTimeAsync(1_000);
  for (let ask = 0; ask < 5; ask++) {
    transport.send({ kind: "ask", ask, question: { what: "memo-get", keys: [] } });
    await vi.advanceTimersByTimeAsync(100);
  }
  held.resolve();
  await vi.advanceTimersByTimeAsync(30_000);
  reads = 0;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(reads).toBe(10);
});

describe("the end of a step", () => {
  const end = { answer: { kind: "cancelled", request: 0, checkpointed: false } } as const;
  const write = (): void => writeEnd(folder, 0, end);

  it("leaves nothing of tries that failed, and is given up at last", async () => {
    fs.mkdirSync(join(folder, "done"));
    const written = untilWritten(folder, () => {
      vi.mocked(fs.writeFileSync).mockImplementationOnce((path) => {
        appendFileSync(path, "{");
        throw full();
      });
      write();
    });
    await Promise.all([expect(written).rejects.toThrow("no space left"), vi.runAllTimersAsync()]);
    expect(fs.readdirSync(join(folder, "done"))).toEqual([]);
  });

  it("is written once its folder can be reached again", async () => {
    const written = untilWritten(folder, write);
    await vi.advanceTimersByTimeAsync(60_000);
    fs.mkdirSync(join(folder, "done"));
    await vi.runAllTimersAsync();
    await written;
    expect(JSON.parse(fs.readFileSync(join(folder, "done", "0.json"), "utf8"))).toEqual(end);
  });

  it("is not waited with where the submission is gone", async () => {
    fs.rmSync(folder, { recursive: true });
    await expect(untilWritten(folder, write)).rejects.toThrow("ENOENT");
    expect(vi.getTimerCount()).toBe(0);
  });
});
