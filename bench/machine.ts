import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem, type as systemName } from "node:os";

/** The machine that figures were taken on. */
export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  /** GiB. */
  readonly memory: number;
  readonly system: string;
}

export function thisMachine(): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    memory: Math.round(totalmem() / 2 ** 30),
    system: `${distribution() ?? systemName()}, ${systemName()} ${release()}`,
  };
}

function distribution(): string | undefined {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}
