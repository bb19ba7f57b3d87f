/**
 * Disks that are full, break or turn read-only while a run goes on. A few moments here, many with `npm run test:faults`.
 * File systems of our own are mounted: skipped where that is not possible.
 */
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { randomStream } from "../../nodes/random.ts";
import { wholeEvents } from "../rig/cli.ts";
import type { CliResult, Workspace } from "../rig/cli.ts";
import { canMount, mount, mountOnceQuiet, mountSmallDisk, resizeSmallDisk, unmount } from "../rig/mount.ts";
import { seed } from "../rig/seed.ts";
import { checkLedger, checkView } from "./checks.ts";
import { ledgerHas, ledgerPath, readLedger } from "./ledger.ts";
import { createReference, mixedRun, mixedWorkspace, reportsIn } from "./life.ts";
import type { Reference } from "./life.ts";
import { howMany } from "./settings.ts";
import { viewStore } from "./store-view.ts";

const random = randomStream(seed, "disks");
const moments = howMany({ short: 1, long: 12 });
const roomy = 64 * 2 ** 20;

/** Ledger lines after which something happens to the disk: 0 is as soon as the run has said that it began. */
const drawMoments = (lines: number): readonly number[] =>
  Array.from({ length: moments }, () => random.int(lines));

describe.skipIf(!canMount)(`a disk (RANFLOW_SEED=${seed}; needs root to mount one)`, () => {
  let reference: Reference;
  let workspace: Workspace;
  let disk: string;
  let args: readonly string[];
  beforeAll(async () => {
    reference = await createReference();
  });
  beforeEach(async () => {
    workspace = await mixedWorkspace();
    disk = join(workspace.folder, "disk");
    await mkdir(disk);
    args = [...mixedRun, "--store", join(disk, "store")];
  });
  afterEach(async () => {
    unmount(disk);
    await workspace.remove();
  });

  /** Runs, lets something happen to the disk after so many lines of the ledger, and waits for the end. */
  const runUntil = async (lines: number, happens: () => void | Promise<void>): Promise<CliResult> => {
    const run = workspace.start(args);
    await (lines === 0 ? run.lines(1) : ledgerHas(workspace.folder, lines, run.result));
    await happens();
    return run.result;
  };

  /** The run has ended by itself and has said what is wrong, in which store, and what to do about it. */
  const checkSaid = ({ exitCode, stdout, stderr }: CliResult, what: RegExp): void => {
    expect(stderr).not.toContain("internal error");
    expect([0, 1, 2], stderr).toContain(exitCode);
    const failures = wholeEvents(stdout).flatMap((event) =>
      event.type === "step-failed" ? [event.error] : [],
    );
    for (const { kind, message, hint } of failures) {
      // A program of the graph's own says what happened to it in its own words.
      if (kind === "node") continue;
      expect({ kind, message, hint }).toEqual({
        kind: "io",
        message: expect.stringContaining(join(disk, "store")) as string,
        hint: expect.stringMatching(/free|--store|check the disk/) as string,
      });
    }
    const said = failures.map(({ message, hint, detail }) => [message, hint, detail].join("; "));
    if (exitCode === 1) expect(said.join("\n")).toMatch(what);
    if (exitCode === 2) expect(stderr).toMatch(what);
  };

  /** The same command goes on from what it said it had finished, and comes to the same end. */
  const checkGoesOn = async ({ stdout }: CliResult): Promise<void> => {
    const store = join(disk, "store");
    const before = await viewStore(store, reference.names);
    checkView({ before, after: before, reference: reference.view });
    const keys = new Set([...before.results.values()].map(({ key }) => key));
    const lost = wholeEvents(stdout).filter(
      (event) => event.type === "step-succeeded" && !event.step.includes("#") && !keys.has(event.key),
    );
    expect(lost).toEqual([]);
    const lines = readLedger(ledgerPath(workspace.folder)).length;
    const { exitCode, stderr } = await workspace.run(args);
    expect(exitCode, stderr).toBe(0);
    checkLedger({ before, lines: readLedger(ledgerPath(workspace.folder)).slice(lines) });
    const after = await viewStore(store, reference.names);
    checkView({ before: reference.view, after, reference: reference.view });
    expect(await reportsIn(store)).toEqual(reference.reports);
  };

  const full = /no space left/i;
  const readOnly = /read-only|i\/o error/i;

  it.each(Array.from({ length: moments }, () => 16 + random.int(2_500)))(
    "of %i KiB, too small for the run, loses nothing",
    async (kilobytes) => {
      mountSmallDisk(disk, kilobytes * 1024);
      const end = await workspace.run(args);
      checkSaid(end, full);
      expect(end.stderr).not.toContain("Write error");
      expect(end.exitCode).not.toBe(0);
      resizeSmallDisk(disk, roomy);
      await checkGoesOn(end);
    },
  );

  it.each(drawMoments(30))("that fills up after %i steps and items loses nothing", async (lines) => {
    mountSmallDisk(disk, roomy);
    const ballast = join(disk, "ballast");
    const end = await runUntil(lines, () => {
      spawnSync("dd", ["if=/dev/zero", `of=${ballast}`, "bs=64k"]);
    });
    checkSaid(end, full);
    await rm(ballast);
    await checkGoesOn(end);
  });

  it.each(drawMoments(40))("mounted read-only after %i steps and items loses nothing", async (lines) => {
    mountSmallDisk(disk, roomy);
    const end = await runUntil(lines, () => {
      // Files that are open for writing forbid it of the file system itself, but not of a mount over it.
      mount("--bind", disk, disk);
      mountOnceQuiet("-o", "remount,bind,ro", disk);
    });
    checkSaid(end, readOnly);
    const refused = await workspace.run(args);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain("cannot be written to");
    unmount(disk);
    await checkGoesOn(end);
  });

  it.skipIf(!canBreak()).each(drawMoments(40))(
    "that breaks after %i steps and items, and is read-only from then on, loses nothing",
    async (lines) => {
      const image = join(workspace.folder, "image");
      await writeFile(image, Buffer.alloc(32 * 2 ** 20));
      spawnSync("mkfs.ext4", ["-q", image]);
      mountImage(image, disk);
      const device = await deviceOf(disk);
      const end = await runUntil(lines, () => breakDisk(device));
      if (!endedInLmdb(end)) checkSaid(end, readOnly);
      expect((await workspace.run(args)).exitCode).toBe(2);
      // What was not on the disk is gone, as after a power cut.
      unmount(disk);
      spawnSync("e2fsck", ["-fy", image]);
      mountImage(image, disk);
      await checkGoesOn(end);
    },
  );
});

function mountImage(image: string, folder: string): void {
  mount("-o", "loop,errors=remount-ro", image, folder);
}

/** The name of the device that is mounted on a folder. */
async function deviceOf(folder: string): Promise<string> {
  const mounts = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  return basename(mounts.find(([, target]) => target === folder)?.[0] ?? "");
}

/** Makes ext4 believe that it has found itself damaged: it drops what it has not written yet, and turns read-only. */
function breakDisk(device: string): void {
  writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, "a fault test");
}

/** Whether there are ext4 images, loop devices and a switch to break what is on them. */
function canBreak(): boolean {
  return (
    existsSync("/dev/loop-control") &&
    existsSync("/sys/fs/ext4") &&
    spawnSync("mkfs.ext4", ["-V"]).status === 0
  );
}

/**
 * LMDB words a write that failed into 100 bytes that may not be enough (`last_error` in its mdb.c), and the C library may then end
 * the process. What happened has been printed by then; that nothing is lost is looked at all the same.
 */
function endedInLmdb({ signal, stderr }: CliResult): boolean {
  return signal === "SIGABRT" && /^Write error: (Read-only file system|Input\/output error)/m.test(stderr);
}
