import type { Reporter, RunControls } from "../model/reporter.ts";
import { drawnOutput, hasColor } from "./output.ts";

export type UiKind = "ink" | "plain" | "json";

/** The terminal UI where a person sits at a terminal that can show it, else lines. */
export function defaultUi(): UiKind {
  const { CI, TERM } = process.env;
  const terminal = process.stdout.isTTY && process.stdin.isTTY && !CI && TERM !== "dumb";
  return terminal ? "ink" : "plain";
}

/** Opens what shows the run. Only the chosen one is loaded. */
export async function openReporter(kind: UiKind, controls: RunControls): Promise<Reporter> {
  const { stdin, stdout } = process;
  switch (kind) {
    case "ink": {
      const { startTui } = await import("../tui/index.ts");
      return startTui({ stdin, stdout: drawnOutput(), controls });
    }
    case "plain": {
      const { createPlainReporter } = await import("../report/plain.ts");
      return createPlainReporter({
        stream: stdout,
        color: hasColor(stdout),
        interactive: stdout.isTTY,
      });
    }
    case "json": {
      const { createJsonReporter } = await import("../report/json.ts");
      return createJsonReporter({ stream: stdout });
    }
  }
}
