import { mkdir, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import type { CollectedArtifact, InputArtifact, LocatedFile, RunContext } from "../../engine/sdk.ts";
import type { ExecParams } from "../exec.ts";
import { digestOf } from "./files.ts";
import { hasImages, writeLocated } from "./located-records.ts";

/** The inputs of a step where its program finds them. */
export interface PlacedInputs {
  /** Path of each input. */
  readonly paths: ReadonlyMap<string, string>;
  /** The store's files behind them. */
  readonly originals: readonly string[];
  /** Sees that the program has left the store's files as they were: a `NodeError` where it has not. */
  check(): Promise<void>;
}

interface Original extends LocatedFile {
  readonly input: string;
  readonly mtimeMs: number;
}

/**
 * Lays out inputs under a folder: a file as a link to the store's, a folder as a folder of links, collected artifacts
 * in a folder with `index.json`.
 */
export async function placeInputs(
  { blobs, inputs }: Pick<RunContext<ExecParams>, "blobs" | "inputs">,
  folder: string,
): Promise<PlacedInputs> {
  const paths = new Map<string, string>();
  const originals = new Map<string, Original>();

  const link = async (input: string, file: LocatedFile, place: string): Promise<void> => {
    const { mtimeMs } = await stat(file.path);
    originals.set(file.path, { ...file, input, mtimeMs });
    await symlink(file.path, place);
  };
  const lay = async (input: string, artifact: InputArtifact, place: string): Promise<void> => {
    if (artifact.kind === "file") {
      if (await hasImages(artifact.path)) await writeLocated(artifact.path, place, blobs);
      else await link(input, artifact, place);
      return;
    }
    await mkdir(place);
    for (const [name, file] of artifact.files) {
      const path = join(place, name);
      if (name.includes("/")) await mkdir(dirname(path), { recursive: true });
      await link(input, file, path);
    }
  };

  for (const [input, value] of Object.entries(inputs) as [
    string,
    InputArtifact | readonly CollectedArtifact[] | undefined,
  ][]) {
    if (value === undefined) continue;
    const place = join(folder, input);
    paths.set(input, place);
    if (!isCollected(value)) {
      await lay(input, value, place);
      continue;
    }
    await mkdir(place);
    const index = value.map(({ at }, i) => ({ at, path: String(i) }));
    await writeFile(join(place, "index.json"), `${JSON.stringify(index, undefined, 2)}\n`);
    for (const [i, { artifact }] of value.entries()) await lay(input, artifact, join(place, String(i)));
  }

  return {
    paths,
    originals: [...originals.keys()],
    async check() {
      for (const { digest, input, mtimeMs, path, size } of originals.values()) {
        const now = await stat(path).catch(() => undefined);
        // The store renews the time of what it still needs, so that only the content tells.
        if (now?.size === size && (now.mtimeMs === mtimeMs || (await digestOf(path)) === digest)) continue;
        throw new NodeError(`the program changed its input ${input}, which belongs to the store`, {
          hint: "run `ranflow cache verify --repair`, and let the program copy what it changes to `$(scratch)`",
        });
      }
    },
  };
}

function isCollected(
  value: InputArtifact | readonly CollectedArtifact[],
): value is readonly CollectedArtifact[] {
  return Array.isArray(value);
}
