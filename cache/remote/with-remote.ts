import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ArtifactRef } from "../../engine/model/artifact.ts";
import type { Digest, Key } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import { StoreError } from "../errors.ts";
import { mapLimit } from "../pool.ts";
import type { ObjectStore, Store } from "../types.ts";
import { createFetcher } from "./fetch.ts";
import type { Fetcher } from "./fetch.ts";
import { RemoteError } from "./errors.ts";
import { makeRemote, openRemote } from "./folder.ts";
import type { Remote, RemoteResult } from "./folder.ts";
import { createPusher } from "./push.ts";
import type { Pusher } from "./push.ts";
import { listedFiles } from "./whole.ts";

const atOnce = 8;
/** A shared folder that failed so often in a row is left alone for the rest of the run. */
const patience = 3;

/** A store that finds in a shared folder what it has not, and shares what it makes. */
export interface SharedStore extends Store {
  /** What went wrong with the shared folder without stopping anything, in words for the user. */
  warnings(): readonly string[];
}

/**
 * A store over a shared folder. A result that the store has not is looked for there; its bytes come when a step that
 * must run reads them, or when nothing else reads them (a table, a figure). Results that are committed are copied
 * there in the background, and `close` waits for that. What is here is never looked for there.
 *
 * With a store that is read only, nothing comes and nothing goes: it can be planned against.
 */
export function withRemote(local: Store, root: string): SharedStore {
  const found = new Map<Key, RemoteResult>();
  const refused = new Set<string>();
  const problems: string[] = [];
  let failures = 0;
  let unpushed = 0;
  let opened: { readonly remote: Remote; readonly fetcher: Fetcher; readonly pusher: Pusher } | undefined;
  /** An empty folder becomes a shared one with the first result that is copied there. */
  let made: Promise<Remote> | undefined;
  let queue: Promise<void> = Promise.resolve();

  /** Opened when first needed: a run whose results are all here never touches the folder. */
  const parts = (): NonNullable<typeof opened> => {
    if (opened) return opened;
    const remote = openRemote(root);
    opened = {
      remote,
      fetcher: createFetcher(local.objects, remote),
      pusher: createPusher(local, remote, { withData: false }),
    };
    return opened;
  };

  const warn = (message: string): void => {
    if (refused.has(message)) return;
    refused.add(message);
    problems.push(message);
  };

  /** What a look into the folder gives; `otherwise` where it is damaged or out of reach, which is said once. */
  const looked = <T>(look: (open: NonNullable<typeof opened>) => T, otherwise: T): T => {
    const open = parts();
    if (failures >= patience) return otherwise;
    try {
      const value = look(open);
      failures = 0;
      return value;
    } catch (error) {
      return failed(error, otherwise);
    }
  };
  const fetched = async (look: (open: NonNullable<typeof opened>) => Promise<boolean>): Promise<boolean> => {
    const open = parts();
    if (failures >= patience) return false;
    try {
      return await look(open);
    } catch (error) {
      return failed(error, false);
    }
  };
  const failed = <T>(error: unknown, otherwise: T): T => {
    // A full disk here, for instance, is the run's own problem.
    if (!(error instanceof RemoteError)) throw error;
    if (error.code !== "damaged") failures++;
    warn(error.message);
    return otherwise;
  };

  const result = (key: Key): StoredResult | undefined => {
    const here = local.result(key) ?? found.get(key)?.result;
    if (here) return here;
    const record = looked(({ remote }) => remote.readResult(key), undefined);
    if (record) found.set(key, record);
    return record?.result;
  };

  /** Results that this run found in the folder become this store's: the next run needs no folder to know them. */
  const adopt = async (keys: readonly Key[]): Promise<void> => {
    const records = [...new Set(keys)].flatMap((key) => {
      const record = local.result(key) ? undefined : found.get(key);
      return record ? [record] : [];
    });
    if (records.length === 0) return;
    const adopted = await mapLimit(records, atOnce, async (record) => {
      const { outputs, fingerprint } = record.result;
      let away = false;
      for (const artifact of Object.values(outputs)) {
        // Metrics are looked at, whatever step reads them. What mentions images comes with them, or not at all.
        await fetched(({ fetcher }) => fetcher.smallFile(artifact));
        away ||= !(await isHere(local.objects, artifact));
      }
      const list = fingerprint.external?.digest;
      if (list !== undefined) await fetched(({ fetcher }) => fetcher.object(list));
      return { result: record.result, away };
    });
    await local.adopt(adopted, root);
    for (const {
      dataset,
      result: { fingerprint },
    } of records) {
      const list = fingerprint.external?.digest;
      if (dataset === undefined || list === undefined) continue;
      if (await listedFiles(local.objects, list)) await local.registerExternal(dataset, "", list);
    }
  };

  const push = (committed: StoredResult): void => {
    queue = queue.then(async () => {
      if (failures >= patience) return void unpushed++;
      try {
        const { pusher } = parts();
        await (made ??= makeRemote(root));
        await pusher.push(committed);
        failures = 0;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        unpushed++;
        failures++;
        warn(error.message);
      }
    });
    // Awaited when the store is closed; until then nobody listens.
    queue.catch(() => {});
  };

  const isAbsent = (digest: Digest): boolean => !isReadable(local, digest);
  const bring = (artifact: ArtifactRef): Promise<boolean> =>
    fetched(({ fetcher }) => fetcher.withMentioned(artifact, isAbsent));
  const objects: ObjectStore = {
    ...local.objects,
    complete: async (artifact) => {
      if (await isHere(local.objects, artifact)) return true;
      if (local.writable) return bring(artifact);
      return looked(({ remote }) => remote.hasObject(artifact.digest), false);
    },
    manifest: async (digest) => {
      if (local.writable && !local.objects.has(digest))
        await fetched(({ fetcher }) => fetcher.object(digest));
      return local.objects.manifest(digest);
    },
  };

  return {
    ...local,
    objects,
    result,
    commit: async (made) => {
      const committed = await local.commit(made);
      push(committed);
      return committed;
    },
    point: async (pipeline, entries) => {
      await adopt(entries.map(([, { key }]) => key));
      await local.point(pipeline, entries);
    },
    recordRun: async (record, entries) => {
      await adopt(entries.map(([, key]) => key));
      return local.recordRun(record, entries);
    },
    fetch: async (digests) => {
      if (!local.writable) return;
      await mapLimit(digests.filter(isAbsent), atOnce, (digest) =>
        fetched(({ fetcher }) => fetcher.object(digest)),
      );
    },
    close: async () => {
      try {
        await queue;
      } finally {
        await local.close();
      }
    },
    warnings: () => {
      if (unpushed === 0) return problems;
      const count = unpushed === 1 ? "1 result was" : `${unpushed} results were`;
      return [...problems, `${count} not copied to ${root}; \`ranflow cache push ${root}\` does it later`];
    },
  };
}

async function isHere(objects: ObjectStore, artifact: ArtifactRef): Promise<boolean> {
  return objects.complete(artifact).catch(() => false);
}

/** Whether a blob's bytes are on this machine, as far as is known: an object, or a file of a dataset. */
function isReadable(local: Store, digest: Digest): boolean {
  const [locator] = local.locate([digest]);
  if (locator?.kind !== "external") return locator !== undefined;
  return locator.root !== "" && existsSync(join(locator.root, locator.name));
}
