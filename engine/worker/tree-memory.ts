import { readFileSync } from "node:fs";

/** Bytes resident in a process and all that it started; 0 where the kernel does not tell (no Linux). */
export function treeMemory(pid: number): number {
  try {
    const pages = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1];
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    return Number(pages) * 4096 + children.reduce((sum, child) => sum + treeMemory(Number(child)), 0);
  } catch {
    return 0;
  }
}
