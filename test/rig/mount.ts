/** Small file systems of their own, which only root can mount. */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Mounts, or throws. */
export function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync("mount", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`mount ${args.join(" ")}: ${stderr}`);
}

/** Mounts what is refused as busy while some file is open just now. */
export function mountOnceQuiet(...args: readonly string[]): void {
  for (let left = 200; ; left--) {
    try {
      return mount(...args);
    } catch (error) {
      if (left === 0 || !String(error).includes("busy")) throw error;
    }
  }
}

export function unmount(folder: string): void {
  spawnSync("umount", ["-l", folder], { stdio: "ignore" });
}

/** Mounts a file system in memory of so many bytes. */
export function mountSmallDisk(folder: string, bytes: number): void {
  mkdirSync(folder, { recursive: true });
  mount("-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", folder);
}

/** Gives a file system in memory another size. */
export function resizeSmallDisk(folder: string, bytes: number): void {
  mount("-o", `remount,size=${bytes}`, folder);
}

/** Whether file systems can be mounted here: root can, outside of most containers. */
export const canMount: boolean = ((): boolean => {
  const folder = join(tmpdir(), `ranflow-mount-${process.pid}`);
  try {
    mountSmallDisk(folder, 2 ** 20);
    return true;
  } catch {
    return false;
  } finally {
    unmount(folder);
    spawnSync("rmdir", [folder]);
  }
})();
