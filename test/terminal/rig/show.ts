import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { RunEvent } from "../../../engine/model/events.ts";
import type { Command } from "../fixtures/show-run.ts";
import { openScreen } from "./screen.ts";
import type { Screen } from "./screen.ts";

/** The terminal UI on a pty, with a driver that the test plays. */
export interface Show {
  readonly screen: Screen;
  /** Hands events to the UI and waits until it has taken them. */
  send(events: readonly RunEvent[]): Promise<void>;
  command(command: Command): void;
  /** The next word that the driver says: `stop`, `cancel STEP`, `retry`, `leave`, `closed`, `taken`. */
  heard(): Promise<string>;
  /** `stty -a` before the UI started and after it ended. Waits for the end. */
  modes(): Promise<{ readonly before: string; readonly after: string }>;
  dispose(): Promise<void>;
}

export interface ShowOptions {
  readonly script: string;
  readonly columns: number;
  readonly rows: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the UI under a shell that notes the terminal's modes before and after. */
export async function openShow({ script, columns, rows, env }: ShowOptions): Promise<Show> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-terminal-"));
  const path = join(folder, "socket");
  const words: string[] = [];
  const waiting: ((word: string) => void)[] = [];
  const server = createServer();
  const connected = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const shell = `echo before the run; stty -a > "$DIR/before"; "$NODE" "$SCRIPT"; echo "code $?"; stty -a > "$DIR/after"; echo after the run`;
  const screen = openScreen({
    file: "/bin/sh",
    args: ["-c", shell],
    columns,
    rows,
    env: { ...env, NODE: process.execPath, SCRIPT: script, DIR: folder, RANFLOW_TEST_SOCKET: path },
  });
  const socket = await Promise.race([
    connected,
    screen.ended.then((): never => {
      throw new Error(`the UI did not start:\n${screen.text()}`);
    }),
  ]);
  createInterface({ input: socket }).on("line", (word) => {
    const next = waiting.shift();
    if (next) next(word);
    else words.push(word);
  });
  socket.on("error", () => undefined);
  const show: Show = {
    screen,
    heard() {
      const word = words.shift();
      return word === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(word);
    },
    command: (command) => void socket.write(`${JSON.stringify(command)}\n`),
    async send(events) {
      show.command({ kind: "events", events });
      for (let word = await show.heard(); word !== "taken"; word = await show.heard());
    },
    async modes() {
      await screen.ended;
      const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
      return { before: await read("before"), after: await read("after") };
    },
    async dispose() {
      screen.dispose();
      socket.destroy();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await show.heard();
  return show;
}
