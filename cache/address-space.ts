import { readFileSync } from "node:fs";
import { StoreError } from "./errors.ts";

/** Address space, not disk: large enough that no process has to remap under another. */
const wanted = 2 ** 36;
/** An index of a hundred thousand steps fits. */
const least = 2 ** 28;

/** What a process may still map, in bytes. Infinity where it is not limited, or cannot be told. */
export function addressSpaceLeft(): number {
  try {
    const limit = /^Max address space\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    const used = /^VmSize:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return limit === undefined ? Infinity : Number(limit) - Number(used ?? 0) * 1024;
  } catch {
    return Infinity;
  }
}

/**
 * Bytes of address space for the index. Under `ulimit -v` a quarter of what is left, for computing wants the rest.
 *
 * @throws StoreError where that is too little: lmdb would not fail but crash the process
 */
export function indexMapSize(left = addressSpaceLeft()): number {
  if (left === Infinity) return wanted;
  const size = Math.min(wanted, 2 ** Math.floor(Math.log2(Math.max(left, 1) / 4)));
  if (size >= least) return size;
  throw new StoreError("io", "the address space of this process is limited too tightly to open the index", {
    hint: "raise the limit: `ulimit -v unlimited`, or ask the cluster for at least 8 GB of virtual memory",
  });
}
