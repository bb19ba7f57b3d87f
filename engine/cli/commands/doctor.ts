import type { Command } from "commander";
import type { BackendStatus } from "../../../nodes/compute/report.ts";
export function register(program: Command): void {
  void program;
}
/** A few lines per backend. */
export function backendLines(report: readonly BackendStatus[]): string[] {
  return report.flatMap(({ backend, available, best, versions, reasons, fix }) =>
    available
      ? [
          `${best ? "*" : "+"} ${backend.padEnd(11)} ${Object.entries(versions)
            .map((entry) => entry.join(" "))
            .join(", ")}${best ? "  (the default)" : ""}`,
        ]
      : [
          `- ${backend.padEnd(11)} not available`,
          ...reasons.map((reason) => `    ${reason}`),
          ...(fix === undefined ? [] : [`    to fix: ${fix}`]),
        ],
  );
}
