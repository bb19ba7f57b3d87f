import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { portKind } from "../../engine/sdk.ts";
import type {
  BlobRef,
  Coordinates,
  Digest,
  InputArtifact,
  Json,
  JsonObject,
  LocatedFile,
  NodeType,
  RunContext,
  Shard,
} from "../../engine/sdk.ts";

/** An input for `runNode`: a path of a file or folder, or several with coordinates. */
export type NodeInput = string | readonly { readonly at: Coordinates; readonly path: string }[];

export interface NodeRun {
  /** Absolute path of each output. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly logs: readonly string[];
  readonly progress: readonly { done: number; total: number; series?: Readonly<Record<string, number>> }[];
  readonly provenance: JsonObject;
  /** Blobs put so far in this folder, by digest. Pass `folder` on to the next node so that it finds them. */
  readonly folder: string;
}

export interface NodeRunOptions {
  readonly params?: JsonObject;
  readonly inputs?: Readonly<Record<string, NodeInput>>;
  readonly seed?: number;
  readonly backend?: string;
  readonly threads?: number;
  /** Shared by the nodes of one test, so that blobs and memo are found again. */
  readonly folder?: string;
  readonly signal?: AbortSignal;
  /** Makes `checkpoint.due()` true at every n-th ask. */
  readonly checkpointEvery?: number;
  /** Cancels the node when it asks `checkpoint.due()` for the n-th time: a stop at a place that does not depend on time. */
  readonly abortAtAsk?: number;
  /** Cancels the node when it has told of so much progress. */
  readonly abortAtProgress?: number;
  /** Checkpoints live here; give the same folder again to resume. */
  readonly checkpoints?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Kept results of items by key; give the same map again to find them. */
  readonly memo?: Map<string, Json>;
  /** Only this share of the items, without outputs. */
  readonly shard?: Shard;
}

const sha256 = (bytes: Uint8Array): Digest =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;

const externals = new Map<string, Map<string, LocatedFile>>();

/** Runs a node type in this process, without engine or store: for tests of the node itself. */
export async function runNode(type: NodeType, options: NodeRunOptions = {}): Promise<NodeRun> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "ranflow-node-")));
  const known = externals.get(folder) ?? new Map<string, LocatedFile>();
  externals.set(folder, known);
  const params = type.params.parse(options.params ?? {}) as JsonObject;
  const work = await mkdtemp(join(folder, "step-"));
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  const logs: string[] = [];
  const progress: { done: number; total: number; series?: Readonly<Record<string, number>> }[] = [];
  const provenance: Record<string, Json> = {};
  const memo = options.memo ?? new Map<string, Json>();
  await mkdir(join(folder, "blobs"), { recursive: true });

  const external = new Map<string, LocatedFile>();
  const scan = await type.scan?.({ params: params as never, signal, log: (line) => logs.push(line) });
  for (const name of scan?.files ?? []) {
    const file = await located(join(scan?.root ?? "", name));
    external.set(name, file);
    known.set(file.digest, file);
  }

  const inputs: Record<string, unknown> = {};
  for (const [name, input] of Object.entries(options.inputs ?? {})) {
    inputs[name] =
      typeof input === "string"
        ? await artifact(input, known)
        : await Promise.all(
            input.map(async ({ at, path }) => ({ at, artifact: await artifact(path, known) })),
          );
  }
  const outputs: Record<string, { path: string }> = {};
  for (const [name, declared] of Object.entries(type.outputs)) {
    const path = join(work, name);
    if (portKind(declared) === "folder") await mkdir(path);
    outputs[name] = { path };
  }
  const scratch = join(work, ".scratch");
  await mkdir(scratch);

  let asks = 0;
  const context: RunContext = {
    params,
    inputs: inputs as RunContext["inputs"],
    outputs,
    external,
    seed: options.seed ?? 7,
    signal,
    progress: (done, total, series) => {
      progress.push({ done, total, ...(series && { series }) });
      if (options.abortAtProgress !== undefined && done >= options.abortAtProgress)
        stop.abort(new Error("stopped by the test"));
    },
    log: (message) => logs.push(message),
    memo: {
      get: async (keys) => keys.map((key) => memo.get(JSON.stringify(key))),
      put: async (entries) => entries.forEach(({ key, value }) => memo.set(JSON.stringify(key), value)),
    },
    ...(options.shard && { shard: options.shard }),
    checkpoint: (variant) => {
      const root = options.checkpoints ?? join(work, ".checkpoints");
      const last = (): string => join(root, `${variant}-last`);
      return {
        restore: async () => (existsSync(last()) ? (await readFile(last(), "utf8")).trim() : undefined),
        due: () => {
          asks++;
          if (asks === options.abortAtAsk) stop.abort(new Error("stopped by the test"));
          return (
            signal.aborted || (options.checkpointEvery !== undefined && asks % options.checkpointEvery === 0)
          );
        },
        save: async (write) => {
          await mkdir(root, { recursive: true });
          const target = await mkdtemp(join(root, `${variant}-`));
          await write(target);
          await writeFile(last(), target);
        },
      };
    },
    blobs: {
      put: async (bytes) => {
        const digest = sha256(bytes);
        const path = join(folder, "blobs", digest.slice(7));
        await writeFile(path, bytes);
        known.set(digest, { digest, size: bytes.length, path });
        return { digest, size: bytes.length };
      },
      has: async (refs) => refs.map(({ digest }) => known.has(digest)),
      locate: async (refs: readonly BlobRef[]) =>
        refs.map((ref) => {
          const file = known.get(ref.digest);
          if (!file) throw new Error(`test rig: unknown blob ${ref.digest}`);
          return file;
        }),
    },
    compute: { backend: options.backend ?? "cpu", threads: options.threads ?? 1 },
    provenance: (entry) => void Object.assign(provenance, entry),
    secret: (variable) => options.env?.[variable] ?? process.env[variable],
    scratch,
  };
  await type.run(context as never);
  return {
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, { path }]) => [name, path])),
    logs,
    progress,
    provenance,
    folder,
  };
}

async function located(path: string): Promise<LocatedFile> {
  const bytes = await readFile(path);
  return { digest: sha256(bytes), size: bytes.length, path };
}

async function artifact(path: string, known: Map<string, LocatedFile>): Promise<InputArtifact> {
  const files = new Map<string, LocatedFile>();
  const isFolder = (await stat(path)).isDirectory();
  if (isFolder) {
    const names = (await readdir(path, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
      .toSorted();
    for (const name of names) {
      const file = await located(join(path, name));
      files.set(name, file);
      known.set(file.digest, file);
    }
  }
  const whole = isFolder
    ? sha256(Buffer.from(JSON.stringify([...files].map(([name, { digest }]) => [name, digest]))))
    : (await located(path)).digest;
  return {
    digest: whole,
    kind: isFolder ? "folder" : "file",
    size: (await stat(path)).size,
    path,
    files,
    file(name) {
      const file = files.get(name);
      if (!file) throw new Error(`test rig: ${path} has no file ${name}`);
      return file;
    },
  };
}
