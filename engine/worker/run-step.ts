import { readdirSync, statSync } from "node:fs";
import type { ObjectStore } from "../../cache/types.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import { withPorts } from "../model/node-ports.ts";
import type { WorkerMessage, WorkerRequest } from "../model/protocol.ts";
import { portKind } from "../sdk.ts";
import type { NodeLibrary, NodeType } from "../sdk.ts";
import type { DriverChannel } from "./channel.ts";
import { hasCheckpoint } from "./checkpoint.ts";
import { checkpointFolder, createContext } from "./context.ts";
import { failureOf, keptSecret, UnwrittenOutput } from "./failure.ts";
import { peakMemory, resetPeakMemory } from "./memory.ts";
import type { PrivateFolders } from "./private-folders.ts";
import { throttledProgress } from "./progress.ts";
import type { ProgressUpdate } from "./progress.ts";
import type { Redactor } from "./redact.ts";
import { scanExternal } from "./scan.ts";

/** What a worker brings to every request. */
export interface WorkerSetup {
  readonly library: NodeLibrary;
  readonly objects: ObjectStore;
  readonly channel: DriverChannel;
  readonly redactor: Redactor;
  readonly folders: PrivateFolders;
  /** Ends this process where another one has its step by now; called before what both would write. */
  readonly fence?: () => Promise<void>;
  /** Called when a step begins to keep what another attempt of it goes on from. */
  readonly onKept?: () => void;
}

/** The last message of a request. */
export type Answer = Extract<WorkerMessage, { kind: "scanned" | "done" | "failed" | "cancelled" }>;

/** Serves one request from start to end. Never throws: what goes wrong is part of the answer. */
export async function serve(
  request: WorkerRequest,
  setup: WorkerSetup,
  signal: AbortSignal,
): Promise<Answer> {
  const number = request.request;
  const { progress, flush } = throttledProgress((update) => {
    setup.channel.send({ kind: "progress", request: number, ...withoutSecrets(update, setup.redactor) });
  });
  try {
    const nodeType = await typeOf(request, setup.library);
    if (!nodeType) throw new Error(`the worker's node library has no node type ${request.type}`);
    if (request.kind === "run") {
      return await runStep({ request, setup, signal, nodeType: withOwnPorts(nodeType, request), progress });
    }
    const log = (message: string): void => {
      setup.channel.send({
        kind: "log",
        request: number,
        level: "info",
        message: setup.redactor.redact(message),
      });
    };
    const external = await scanExternal({
      ...setup,
      params: request.params,
      nodeType,
      signal,
      progress,
      log,
    });
    return { kind: "scanned", request: number, ...(external && { external }) };
  } catch (thrown) {
    if (signal.aborted) {
      const checkpointed =
        request.kind === "run" && (await hasCheckpoint(checkpointFolder(setup.objects, request.key)));
      return { kind: "cancelled", request: number, checkpointed };
    }
    const { error, transient } = failureOf(thrown, request.type, setup.objects.root);
    return {
      kind: "failed",
      request: number,
      transient,
      error: { ...setup.redactor.redactJson({ ...error }), kind: error.kind },
    };
  } finally {
    flush();
  }
}

/** A program of the user's may name its series as it likes. */
function withoutSecrets({ series, unit, ...rest }: ProgressUpdate, { redact }: Redactor): ProgressUpdate {
  const entries = Object.entries(series ?? {}).map(([name, value]) => [redact(name), value] as const);
  return {
    ...rest,
    ...(unit !== undefined && { unit: redact(unit) }),
    ...(series && { series: Object.fromEntries(entries) }),
  };
}

async function typeOf(
  { plugin, type }: WorkerRequest,
  library: WorkerSetup["library"],
): Promise<NodeType | undefined> {
  if (!plugin) return library.get(type);
  const { plannedType } = await import("../plugins/load.ts");
  return plannedType(type, plugin);
}

/** The node type with the ports that the step's node decides, where it decides them. */
function withOwnPorts(nodeType: NodeType, { inputs, params }: RunOptions["request"]): NodeType {
  const bound = Object.entries(inputs).map(([name, ref]) => [name, { many: Array.isArray(ref) }] as const);
  return withPorts(nodeType, { inputs: Object.fromEntries(bound), params });
}

interface RunOptions {
  readonly request: Extract<WorkerRequest, { kind: "run" }>;
  readonly setup: WorkerSetup;
  readonly signal: AbortSignal;
  readonly nodeType: NodeType;
  readonly progress: ReturnType<typeof throttledProgress>["progress"];
}

async function runStep({ request, setup, signal, nodeType, progress }: RunOptions): Promise<Answer> {
  const folder = await setup.folders.take();
  try {
    resetPeakMemory();
    const { context, external, provenance } = await createContext({
      ...setup,
      request,
      nodeType,
      signal,
      progress,
      folder,
    });
    await nodeType.run(context as never);
    if (!nodeType.copiesExternal?.(request.params as never)) await external.check();
    const outputs = request.shard ? {} : await publish(nodeType, context.outputs, setup);
    return {
      kind: "done",
      request: request.request,
      outputs,
      provenance,
      peakMemory: peakMemory(),
      residentMemory: process.memoryUsage.rss(),
    };
  } finally {
    await setup.folders.leave(folder);
  }
}

/** Moves what the node wrote into the store, after looking whether all of it is there. */
async function publish(
  nodeType: NodeType,
  outputs: Readonly<Record<string, { readonly path: string }>>,
  { objects, redactor }: Pick<WorkerSetup, "objects" | "redactor">,
): Promise<Readonly<Record<string, ArtifactRef>>> {
  const ports = Object.entries(nodeType.outputs).map(([name, port]) => ({
    name,
    kind: portKind(port),
    path: outputs[name]?.path as string,
  }));
  for (const { name, kind, path } of ports) {
    const problem = outputProblem(path, kind);
    if (problem) throw new UnwrittenOutput(name, problem);
    const held = await redactor.heldByFiles(path);
    if (held !== undefined) throw keptSecret(`its output ${name}`, held);
  }
  const refs: Record<string, ArtifactRef> = {};
  for (const { name, kind, path } of ports) refs[name] = await objects.putArtifact(path, kind);
  return refs;
}

function outputProblem(path: string, kind: "file" | "folder"): string | undefined {
  try {
    const status = statSync(path);
    if (kind === "file") return status.isFile() ? undefined : "is not a file";
    if (!status.isDirectory()) return "is not a folder";
    return readdirSync(path).length > 0 ? undefined : "is an empty folder";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "was not written";
    throw error;
  }
}
