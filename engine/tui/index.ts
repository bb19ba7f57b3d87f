import type { Reporter } from "../model/reporter.ts";
import type { TuiOptions } from "./start.ts";

export type { TuiOptions } from "./start.ts";

/**
 * Shows a run on the alternate screen until it is closed or left. Whatever happens, the terminal is as it was
 * afterwards: main screen, cursor, cooked mode; a summary stays there. Where the terminal goes away (SIGHUP), the
 * run's events are still taken and nothing is thrown.
 */
export async function startTui(options: TuiOptions): Promise<Reporter> {
  // React picks its build when it is loaded, and the one for development takes several times as long for a frame.
  const before = process.env["NODE_ENV"];
  process.env["NODE_ENV"] ??= "production";
  const { openTui } = await import("./start.ts");
  if (before === undefined) delete process.env["NODE_ENV"];
  return openTui(options);
}
