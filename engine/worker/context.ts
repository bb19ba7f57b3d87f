import { mkdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { taggedHash } from "../../cache/hash.ts";
import type { ObjectStore } from "../../cache/types.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { WorkerRequest } from "../model/protocol.ts";
import { portKind } from "../sdk.ts";
import type { NodeType, OutputArtifact, RunContext, StepMemo, StepProgress } from "../sdk.ts";
import { openBlobs } from "./blobs.ts";
import type { DriverChannel } from "./channel.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { keptSecret } from "./failure.ts";
import { openExternal } from "./external.ts";
import type { ExternalFiles } from "./external.ts";
import { openInputs } from "./inputs.ts";
import type { Redactor } from "./redact.ts";

export interface ContextOptions {
  readonly request: Extract<WorkerRequest, { kind: "run" }>;
  readonly nodeType: NodeType;
  readonly objects: ObjectStore;
  readonly channel: DriverChannel;
  readonly signal: AbortSignal;
  readonly redactor: Redactor;
  readonly progress: StepProgress;
  /** Private folder of the step: outputs and scratch. */
  readonly folder: string;
  readonly fence?: () => Promise<void>;
  readonly onKept?: () => void;
}

/** What a node sees of the world, and what it reported about its own computation. */
export interface StepContext {
  readonly context: RunContext;
  readonly provenance: JsonObject;
  readonly external: ExternalFiles;
}

/** Builds the context that a node type's `run` gets. */
export async function createContext(options: ContextOptions): Promise<StepContext> {
  const { request, nodeType, objects, channel, signal, redactor, folder } = options;
  const provenance: Record<string, Json> = {};
  // Port names are identifiers: none begins with a dot.
  const scratch = join(folder, ".scratch");
  const external = await openExternal(request.external, { objects, channel });
  const context: RunContext = {
    params: request.params,
    inputs: (await openInputs(request, nodeType, objects)) as RunContext["inputs"],
    outputs: await createOutputs(nodeType, folder),
    external: external.files,
    seed: request.seed,
    signal,
    progress: options.progress,
    log(message, level = "info") {
      channel.send({ kind: "log", request: request.request, level, message: redactor.redact(message) });
    },
    memo: openMemo({ ...options, since: request.memoSince }),
    ...(request.shard && { shard: request.shard }),
    checkpoint(variant) {
      options.onKept?.();
      return openCheckpoint({
        folder: checkpointFolder(objects, request.key),
        variant,
        minutes: request.checkpointMinutes,
        signal,
        ...(options.fence && { fence: options.fence }),
      });
    },
    blobs: openBlobs(objects, channel),
    compute: request.compute,
    provenance(entry) {
      Object.assign(provenance, redactor.redactJson(entry));
    },
    secret: (variable) => redactor.secret(variable),
    // Made when first asked for: most steps write their outputs and nothing else.
    get scratch() {
      mkdirSync(scratch, { recursive: true });
      return scratch;
    },
  };
  return { context, provenance, external };
}

/** `<store>/checkpoints/<key>`: the same place the store removes when the step has succeeded. */
export function checkpointFolder(objects: ObjectStore, key: string): string {
  return join(objects.root, "checkpoints", key);
}

async function createOutputs(
  nodeType: NodeType,
  folder: string,
): Promise<Readonly<Record<string, OutputArtifact>>> {
  const outputs: Record<string, OutputArtifact> = {};
  for (const [name, port] of Object.entries(nodeType.outputs)) {
    const path = join(folder, name);
    if (portKind(port) === "folder") await mkdir(path);
    outputs[name] = { path };
  }
  return outputs;
}

function openMemo({
  channel,
  nodeType,
  onKept,
  redactor,
  since,
}: Pick<ContextOptions, "channel" | "nodeType" | "onKept" | "redactor"> & {
  readonly since: number | undefined;
}): StepMemo {
  const { plugin, type, version } = nodeType;
  const made: Json[] = plugin ? [plugin.source as unknown as Json] : [];
  const hashed = (key: Json): string => taggedHash("memo", [type, version, key, ...made]);
  return {
    async get(keys) {
      if (keys.length === 0) return [];
      const values = await channel.ask({
        what: "memo-get",
        keys: keys.map(hashed),
        ...(since !== undefined && { since }),
      });
      // Wrapped in a list each, so that a kept null is told from nothing kept.
      return (values as readonly (readonly [Json] | null)[]).map((value) => value?.[0]);
    },
    async put(entries) {
      if (entries.length === 0) return;
      const held = redactor.active() && redactor.heldBy(JSON.stringify(entries));
      if (held) throw keptSecret("what it would keep of an item", held);
      await channel.ask({
        what: "memo-put",
        entries: entries.map(({ key, value }) => [hashed(key), value] as const),
      });
      onKept?.();
    },
  };
}
