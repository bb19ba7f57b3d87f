import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectStore } from "../../cache/types.ts";
import type { Digest } from "../model/ids.ts";
import type { WorkerRequest } from "../model/protocol.ts";
import { NodeError } from "../sdk.ts";
import type { LocatedFile } from "../sdk.ts";
import { inBatches } from "./batches.ts";
import type { DriverChannel } from "./channel.ts";
import { contentOf } from "./content.ts";
import type { ListedFile } from "./scan.ts";

/** The files outside of the store that a step's parameters make it read. */
export interface ExternalFiles {
  /** By relative name. Asking for a path is taken for reading the file. */
  readonly files: ReadonlyMap<string, LocatedFile>;
  /**
   * Sees that the files which were read still are those that the step's key names: between the scan and now a file may
   * have been replaced, and the result would be kept under a key that says otherwise.
   *
   * @throws NodeError that names a file that is another one
   */
  check(): Promise<void>;
}

/** Files per question. */
const batch = 5_000;

/** Opens the list that a scan has made. File system errors are passed on. */
export async function openExternal(
  external: Extract<WorkerRequest, { kind: "run" }>["external"],
  { objects, channel }: { readonly objects: ObjectStore; readonly channel: DriverChannel },
): Promise<ExternalFiles> {
  if (!external) return { files: new Map(), check: async () => {} };
  const text = await readFile(objects.path(external.list.digest), "utf8");
  const listed = JSON.parse(text) as readonly ListedFile[];
  const read = new Map<string, Digest>();
  const files = listed.map(([name, digest, size]) => {
    const at = join(external.root, name);
    const file: LocatedFile = {
      digest,
      size,
      get path() {
        read.set(at, digest);
        return at;
      },
    };
    return [name, file] as const;
  });
  return {
    files: new Map(files),
    async check() {
      for (const part of inBatches([...read], batch)) {
        const paths = part.map(([path]) => path);
        const content = await contentOf(paths, channel);
        const other = part.findIndex(([, digest], i) => content[i] !== digest);
        if (other < 0) continue;
        throw new NodeError(`${paths[other]} has changed since this run looked at it`, {
          hint: "run again: the step then runs with the files as they are",
        });
      }
    },
  };
}
