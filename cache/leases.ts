import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { open } from "lmdb";
import type { Key } from "../engine/model/ids.ts";
import { storeError } from "./errors.ts";
import { bootId, isAlive, ownIdentity } from "./process.ts";
import type { ProcessIdentity } from "./process.ts";
import { checkRoomForNew, openRoom } from "./room.ts";
import { removeAll, temporaryPath } from "./temporary.ts";

/** Beats of a process that cannot be asked directly (another container) may be this old, in ms. */
const beatEvery = 3_000;
const beatLimit = 9_000;
const pollEvery = 50;
/** Leases are given back together with the next one taken, or after so many ms: a transaction for each costs as much. */
const giveBackAfter = 20;
const gateKey = "gc";

interface Member extends ProcessIdentity {
  /** When the process opened the store, ms since the epoch. */
  readonly since: number;
  readonly beat: number;
}

/** Holder of a lease. The token tells apart two stores that one process opened. */
interface Holder extends ProcessIdentity {
  readonly token: string;
}

/** Who is forgetting results, and how often a process has begun to use the store. */
interface Gate {
  readonly holder?: Holder;
  readonly openings: number;
}

/** Which processes use the store now, and which key each of them executes. */
export interface Leases {
  acquire(key: Key, signal: AbortSignal, onWait?: (holder: string) => void): Promise<() => void>;
  /** When the oldest of the *other* living processes opened the store; undefined where this one is alone. */
  othersSince(): number | undefined;
  /** Keys that living processes, this one included, execute now. */
  held(): ReadonlySet<string>;
  /** Changes whenever a process begins to use the store. */
  openings(): number;
  /**
   * Does the work while no other process uses the store: one that wants to begins when the work is done. Undefined,
   * and nothing done, where another one is there, or one has come since `openings` was asked.
   */
  alone<T>(openings: number, work: () => Promise<T>): Promise<T | undefined>;
  close(): Promise<void>;
}

/**
 * Opens the leases beside the index. They live in an LMDB environment of their own that is never flushed, for a
 * lease need not outlive the machine: its folder carries the boot id, and a later boot starts an empty one.
 */
export async function openLeases(root: string): Promise<Leases> {
  const folder = join(root, "index", leaseFolder());
  checkRoomForNew(folder, temporaryPath(root));
  const environment = open({
    path: folder,
    maxDbs: 3,
    encoding: "json",
    noSync: true,
    noSubdir: false,
  });
  const leases = environment.openDB<Holder, string>({ name: "leases", encoding: "json" });
  const members = environment.openDB<Member, string>({ name: "members", encoding: "json" });
  const gates = environment.openDB<Gate, string>({ name: "gates", encoding: "json" });
  // A few entries that come and go: this room lasts for ever.
  const room = openRoom(environment, folder, 128 * 1024);
  room.reserve({ count: 1, bytes: 0 }, true);
  const self = ownIdentity();
  const token = randomBytes(8).toString("hex");
  const since = Date.now();

  const beat = (): void => {
    try {
      room.check();
      members.putSync(token, { ...self, since, beat: Date.now() });
    } catch {
      // A full or read-only disk: the beat is lost, the process can still be asked directly on its own machine.
    }
  };
  /** Keys that nobody in this process executes any more, and whose entry is still there. */
  const leaving = new Set<string>();
  let leavingSoon: NodeJS.Timeout | undefined;

  const alive = (holder: ProcessIdentity, holderToken: string): boolean => {
    if (holderToken === token) return true;
    const member = members.get(holderToken);
    return member !== undefined && (isAlive(holder) ?? Date.now() - member.beat < beatLimit);
  };

  const gate = (): Gate => gates.get(gateKey) ?? { openings: 0 };
  const others = (): readonly Member[] =>
    [...members.getRange()]
      .filter(({ key, value }) => key !== token && alive(value, key))
      .map(({ value }) => value);

  /** Becomes a member, unless somebody is forgetting results: what was found before that must not be counted on. */
  const enter = (): boolean =>
    members.transactionSync(() => {
      const { holder, openings } = gate();
      if (holder && alive(holder, holder.token)) return false;
      gates.putSync(gateKey, { openings: openings + 1 });
      members.putSync(token, { ...self, since, beat: Date.now() });
      return true;
    });
  while (!enter()) await delay(pollEvery);
  const timer = setInterval(beat, beatEvery).unref();

  /** Gives back what is leaving, does the work, and commits both. */
  const transaction = <T>(work: () => T): T => {
    room.check();
    const value = leases.transactionSync(() => {
      for (const key of leaving) if (leases.get(key)?.token === token) leases.removeSync(key);
      return work();
    });
    leaving.clear();
    return value;
  };

  /** Takes the lease if it is free or its holder is dead; else says who holds it. */
  const tryTake = (key: Key): Holder | undefined =>
    transaction(() => {
      const holder = leases.get(key);
      if (holder && alive(holder, holder.token)) return holder;
      leases.putSync(key, { ...self, token });
      return undefined;
    });

  const giveBack = (): void => {
    clearTimeout(leavingSoon);
    leavingSoon = undefined;
    try {
      if (leaving.size > 0) transaction(() => {});
    } catch {
      // A full or read-only disk: what is leaving is given back with the next lease, or ends with this process.
    }
  };

  return {
    acquire: async (key, signal, onWait) => {
      try {
        let told = false;
        for (;;) {
          signal.throwIfAborted();
          const holder = tryTake(key);
          if (!holder) break;
          if (!told) onWait?.(`process ${holder.pid} on ${holder.host}`);
          told = true;
          await delay(pollEvery, undefined, { signal });
        }
      } catch (error) {
        signal.throwIfAborted();
        throw storeError(error, "take a lease", root);
      }
      let released = false;
      return () => {
        if (released) return;
        released = true;
        leaving.add(key);
        leavingSoon ??= setTimeout(giveBack, giveBackAfter);
      };
    },
    othersSince: () => {
      const begun = others().map(({ since }) => since);
      return begun.length === 0 ? undefined : Math.min(...begun);
    },
    held: () => {
      giveBack();
      return new Set(
        [...leases.getRange()].filter(({ value }) => alive(value, value.token)).map(({ key }) => key),
      );
    },
    openings: () => gate().openings,
    alone: async (openings, work) => {
      const taken = members.transactionSync(() => {
        if (others().length > 0 || gate().openings !== openings) return false;
        gates.putSync(gateKey, { openings, holder: { ...self, token } });
        return true;
      });
      if (!taken) return undefined;
      try {
        return await work();
      } finally {
        gates.putSync(gateKey, { openings });
      }
    },
    close: async () => {
      clearInterval(timer);
      giveBack();
      try {
        room.check();
        members.removeSync(token);
        for (const { key, value } of Array.from(members.getRange())) {
          if (!alive(value, key)) members.removeSync(key);
        }
      } catch {
        // The entry of a process that is gone counts for nothing.
      }
      await environment.close();
    },
  };
}

function leaseFolder(): string {
  return `leases-${bootId()}`;
}

/** Removes the leases of earlier boots of this machine that nothing can hold any more. */
export async function removeOldLeases(root: string): Promise<void> {
  const names = await readdir(join(root, "index")).catch(() => []);
  const old = names.filter((name) => name.startsWith("leases-") && name !== leaseFolder());
  for (const name of old) await removeAll(join(root, "index", name));
}
