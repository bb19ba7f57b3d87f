import pty from "@lydell/node-pty";
import xterm from "@xterm/headless";

const patience = 120_000;

/** A program on a pseudo-terminal, seen through a terminal emulator: what a person would see. */
export interface Screen {
  /** Rows in view, without spaces at their ends. */
  rows(): readonly string[];
  text(): string;
  /** Rows that scrolled out of the main screen. */
  scrolled(): number;
  isAlternate(): boolean;
  /** Everything the program wrote. */
  raw(): string;
  type(keys: string): void;
  resize(columns: number, rows: number): void;
  kill(signal: string): void;
  /** Resolves with the screen when it is, after any output, as wanted; rejects with it where it never is. */
  until(wanted: (text: string, screen: Screen) => boolean, what: string): Promise<string>;
  /** Resolves when the program has ended and all it wrote is on the screen. */
  readonly ended: Promise<{ readonly exitCode: number; readonly signal: number | undefined }>;
  dispose(): void;
}

export interface ScreenOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly columns: number;
  readonly rows: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Starts a program on a terminal of the given size. */
export function openScreen(options: ScreenOptions): Screen {
  const { columns, rows } = options;
  const terminal = new xterm.Terminal({ cols: columns, rows, scrollback: 5000, allowProposedApi: true });
  const env: Record<string, string | undefined> = {
    ...process.env,
    LANG: "C.UTF-8",
    LC_ALL: "",
    LC_CTYPE: "",
  };
  // What the tests' own environment says about colours or CI is not about this terminal.
  for (const name of ["CI", "CONTINUOUS_INTEGRATION", "NO_COLOR", "FORCE_COLOR"]) delete env[name];
  const child = pty.spawn(options.file, [...options.args], {
    name: "xterm-256color",
    cols: columns,
    rows,
    cwd: options.cwd ?? process.cwd(),
    env: { ...env, TERM: "xterm-256color", ...options.env },
  });
  let raw = "";
  // The emulator takes its time: what has come and what is on the screen are two things.
  let drawn = "";
  const watchers = new Set<() => void>();
  child.onData((data) => {
    raw += data;
    terminal.write(data, () => {
      drawn += data;
      for (const watcher of watchers) watcher();
    });
  });
  const ended = new Promise<{ exitCode: number; signal: number | undefined }>((resolve) => {
    child.onExit(({ exitCode, signal }) => terminal.write("", () => resolve({ exitCode, signal })));
  });
  const screen: Screen = {
    rows() {
      const { active } = terminal.buffer;
      return Array.from({ length: terminal.rows }, (_, row) =>
        (active.getLine(active.baseY + row)?.translateToString(true) ?? "").trimEnd(),
      );
    },
    text: () => screen.rows().join("\n"),
    scrolled: () => terminal.buffer.normal.baseY,
    isAlternate: () => terminal.buffer.active.type === "alternate",
    raw: () => raw,
    type: (keys) => child.write(keys),
    resize(toColumns, toRows) {
      terminal.resize(toColumns, toRows);
      child.resize(toColumns, toRows);
    },
    kill: (signal) => child.kill(signal),
    until(wanted, what) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          // Inside a synchronized update the screen is half of one frame and half of another.
          if (drawn.lastIndexOf("\u001b[?2026h") > drawn.lastIndexOf("\u001b[?2026l")) return;
          const text = screen.text();
          if (!wanted(text, screen)) return;
          finish();
          resolve(text);
        };
        const giveUp = setTimeout(() => {
          finish();
          reject(new Error(`never seen: ${what}\n${screen.text()}`));
        }, patience);
        const finish = (): void => {
          clearTimeout(giveUp);
          watchers.delete(look);
        };
        watchers.add(look);
        look();
      });
    },
    ended,
    dispose() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended by itself.
      }
      terminal.dispose();
    },
  };
  return screen;
}
