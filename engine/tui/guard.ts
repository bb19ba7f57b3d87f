import { format } from "node:util";

/** Keeps stray output off the screen while the UI has it, and gives it back afterwards. */
export interface Guard {
  /** Ends the guard; what was held back is returned, in order. */
  release(): readonly string[];
}

const mostHeld = 500;

/**
 * While the UI is up, a library that writes to stderr or the console would corrupt the screen: its lines are held
 * back until the UI is gone.
 */
export function guardTerminal(): Guard {
  const held: string[] = [];
  const hold = (text: string): void => {
    if (held.length < mostHeld) held.push(text);
  };
  const write = process.stderr.write;
  process.stderr.write = (chunk: string | Uint8Array, ...rest: readonly unknown[]): boolean => {
    hold(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8"));
    const done = rest.find((value): value is () => void => typeof value === "function");
    if (done) process.nextTick(done);
    return true;
  };
  const { log, info, debug } = console;
  const collect = (...values: unknown[]): void => hold(`${format(...values)}\n`);
  Object.assign(console, { log: collect, info: collect, debug: collect });
  let released = false;
  return {
    release() {
      if (released) return [];
      released = true;
      process.stderr.write = write;
      Object.assign(console, { log, info, debug });
      return held;
    },
  };
}
