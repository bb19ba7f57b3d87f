import { stat } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../sdk.ts";
import type { BlobRef } from "../model/artifact.ts";
import type { Digest } from "../model/ids.ts";
import type { Locator } from "../model/protocol.ts";
import type { LocatedFile, StepBlobs } from "../sdk.ts";
import { mapLimit } from "../../cache/pool.ts";
import type { ObjectStore } from "../../cache/types.ts";
import type { DriverChannel } from "./channel.ts";
import { contentOf } from "./content.ts";
import { inBatches } from "./batches.ts";

type ExternalLocator = Extract<Locator, { kind: "external" }>;

/** Digests per question: a few hundred kilobytes of JSON. */
const batch = 5_000;

/** Blobs by digest: objects of the store, or files of a dataset folder wherever it lies now. */
export function openBlobs(objects: ObjectStore, channel: DriverChannel): StepBlobs {
  const found = new Map<Digest, LocatedFile>();

  /** Finds those of the blobs that can be found; what is to be done about the others is for `lost`. */
  const find = async (refs: readonly BlobRef[], lost: (problem: () => NodeError) => void): Promise<void> => {
    const unknown = [...new Map(refs.map((ref) => [ref.digest, ref])).values()].filter(
      (ref) => !found.has(ref.digest),
    );
    for (const part of inBatches(unknown, batch)) {
      const digests = part.map((ref) => ref.digest);
      const locators = (await channel.ask({ what: "locate", digests })) as unknown as (Locator | null)[];
      const unseen: { ref: BlobRef; locator: ExternalLocator; path: string }[] = [];
      await mapLimit(part, 64, async (ref, i) => {
        const locator = locators[i] ?? null;
        const path =
          locator?.kind === "external" ? join(locator.root, locator.name) : objects.path(ref.digest);
        const size = await sizeOf(path);
        if (size !== ref.size) lost(() => missing(ref, locator, path, size));
        else if (locator?.kind === "external" && !locator.isSeen) unseen.push({ ref, locator, path });
        else found.set(ref.digest, { ...ref, path });
      });
      const content = await contentOf(
        unseen.map(({ path }) => path),
        channel,
      );
      for (const [i, { ref, locator, path }] of unseen.entries()) {
        if (content[i] === ref.digest) found.set(ref.digest, { ...ref, path });
        else lost(() => changed(locator, path));
      }
    }
  };

  return {
    put: (bytes) => objects.putBytes(bytes),
    async has(refs) {
      await find(refs, () => {});
      return refs.map((ref) => found.has(ref.digest));
    },
    async locate(refs) {
      await find(refs, (problem) => {
        throw problem();
      });
      return refs.map((ref) => found.get(ref.digest) as LocatedFile);
    },
  };
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const status = await stat(path);
    return status.isFile() ? status.size : undefined;
  } catch {
    return undefined;
  }
}

/** A file of the same size as before, with other bytes. */
function changed({ dataset }: ExternalLocator, path: string): NodeError {
  return new NodeError(`dataset ${dataset}: the file ${path} has changed since it was read`, {
    hint: "run again: changed files are read anew, and what depends on them reruns",
  });
}

function missing(ref: BlobRef, locator: Locator | null, path: string, size: number | undefined): NodeError {
  if (locator?.kind === "external" && locator.root === "") {
    return new NodeError(
      `dataset ${locator.dataset}, of which the file ${locator.name} is needed, is not on this machine: its results came from somebody else`,
      {
        hint: "get the dataset and let the pipeline's data input name its folder; or have it pushed with `ranflow cache push --with-data`",
      },
    );
  }
  if (locator?.kind === "external") {
    return size === undefined
      ? new NodeError(
          `dataset ${locator.dataset}: the file ${locator.name} is gone; it was last at ${path}`,
          {
            hint: "put the file back, or let the pipeline's data input name the folder where the dataset lies now",
          },
        )
      : new NodeError(
          `dataset ${locator.dataset}: the file ${path} has ${size} bytes, but had ${ref.size} when it was read`,
          { hint: "run again: changed files are read anew, and what depends on them reruns" },
        );
  }
  return new NodeError(
    `the store has lost the bytes of an image (${ref.digest}); they were last at ${path}`,
    {
      hint: "run `ranflow cache verify --repair`, then run again: what is missing is rebuilt",
    },
  );
}
