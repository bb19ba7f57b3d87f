import { readFileSync, writeFileSync } from "node:fs";

/** Begins a new measurement of peak memory where the kernel can (Linux); elsewhere the process's own peak counts. */
export function resetPeakMemory(): void {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // Not Linux, or a container that forbids it: peakMemory() then reports the whole process's life.
  }
}

/** Peak resident memory in bytes since `resetPeakMemory`. */
export function peakMemory(): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
