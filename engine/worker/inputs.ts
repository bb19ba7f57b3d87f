import { NodeError } from "../sdk.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import type { WorkerRequest } from "../model/protocol.ts";
import type { CollectedArtifact, InputArtifact, LocatedFile, NodeType } from "../sdk.ts";
import type { ObjectStore } from "../../cache/types.ts";

type RunRequest = Extract<WorkerRequest, { kind: "run" }>;
type InputRef = RunRequest["inputs"][string];

/** Opens a step's inputs for reading: one artifact a port, or the collected ones of a `many` port. */
export async function openInputs(
  request: RunRequest,
  nodeType: NodeType,
  objects: ObjectStore,
): Promise<Readonly<Record<string, InputArtifact | readonly CollectedArtifact[]>>> {
  // The same checkpoint collected 300 times over is read once.
  const opened = new Map<string, Promise<InputArtifact>>();
  const openOnce = (ref: ArtifactRef, name: string): Promise<InputArtifact> => {
    const found = opened.get(ref.digest) ?? openArtifact(ref, name, objects);
    opened.set(ref.digest, found);
    return found;
  };
  const openInput = async (
    name: string,
    ref: InputRef,
  ): Promise<InputArtifact | readonly CollectedArtifact[]> => {
    if (!isCollected(ref)) {
      const artifact = await openOnce(ref, name);
      return nodeType.inputs[name]?.many ? [{ at: {}, artifact }] : artifact;
    }
    return Promise.all(
      ref.map(async ({ at, artifact }) => ({ at, artifact: await openOnce(artifact, name) })),
    );
  };
  const entries = Object.entries(request.inputs).map(
    async ([name, ref]) => [name, await openInput(name, ref)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

function isCollected(ref: InputRef): ref is Extract<InputRef, readonly unknown[]> {
  return Array.isArray(ref);
}

async function openArtifact(ref: ArtifactRef, input: string, objects: ObjectStore): Promise<InputArtifact> {
  if (!objects.has(ref.digest)) {
    throw new NodeError(`the store has lost the artifact of input ${input} (${ref.digest})`, {
      hint: "run `ranflow cache verify` to see what is missing, then run again: what is missing is rebuilt",
    });
  }
  const files = ref.kind === "folder" ? await filesOf(ref, objects) : new Map<string, LocatedFile>();
  return {
    ...ref,
    path: ref.kind === "file" ? objects.path(ref.digest) : "",
    files,
    file(name) {
      const file = files.get(name);
      if (file) return file;
      throw new NodeError(`input ${input} has no file ${name}`, {
        hint:
          files.size === 0
            ? "it is a single file, not a folder"
            : `it has: ${[...files.keys()].slice(0, 12).join(", ")}${files.size > 12 ? ", ..." : ""}`,
      });
    },
  };
}

async function filesOf(ref: ArtifactRef, objects: ObjectStore): Promise<ReadonlyMap<string, LocatedFile>> {
  const manifest = await objects.manifest(ref.digest);
  return new Map(
    Object.entries(manifest.files).map(([name, file]) => [
      name,
      { ...file, path: objects.path(file.digest) },
    ]),
  );
}
