import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import type { ArtifactRef } from "../../model/artifact.ts";
import type { Step } from "../../model/grid.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import type { StoredResult } from "../../model/plan.ts";
import { fail } from "../exit.ts";
import { inspectCommand, inspectStep, type InspectOptions } from "../inspect.ts";

/** An output as `show` prints it: where its bytes are. */
interface ShownOutput {
  readonly port: string;
  readonly type: string;
  readonly digest: string;
  readonly size: number;
  /** Absolute path of a file, or of each file of a folder. Null where the bytes were collected by gc. */
  readonly files: Readonly<Record<string, string>> | null;
  readonly metrics?: Json;
}

/** `ranflow show [PIPELINE] STEP`: a step's outputs, metrics, parameters, and where the files are. */
export function register(program: Command): void {
  inspectCommand(program, "show")
    .summary("show a step's outputs, metrics, parameters and files")
    .action(async (args: string[], options: InspectOptions) => {
      const { grid, store, planner, step } = await inspectStep(args, options);
      const key = planner.key(step.index) ?? store.pointer(grid.pipeline, step.id)?.key;
      const result = key && store.result(key);
      if (!result)
        return fail(
          `${step.id} has no result in ${store.root} yet; run it first: ranflow run ${grid.path}`,
          1,
        );
      const shown = {
        step: step.id,
        type: step.nodeType.type,
        key: result.key,
        params: step.params,
        outputs: await Promise.all(
          Object.entries(result.outputs).map(([port, artifact]) => showOutput(store, step, port, artifact)),
        ),
        provenance: result.provenance,
      };
      console.log(options.json ? JSON.stringify(shown, undefined, 2) : toText(shown, result));
      await store.close();
    });
}

async function showOutput(
  store: Store,
  step: Step,
  port: string,
  artifact: ArtifactRef,
): Promise<ShownOutput> {
  const type = step.nodeType.outputs[port]?.type ?? artifact.kind;
  const files = store.objects.has(artifact.digest) ? await filesOf(store, artifact) : null;
  const metrics: Json | undefined =
    type === "metrics" && files
      ? JSON.parse(await readFile(store.objects.path(artifact.digest), "utf8"))
      : undefined;
  return {
    port,
    type,
    digest: artifact.digest,
    size: artifact.size,
    files,
    ...(metrics !== undefined && { metrics }),
  };
}

async function filesOf(store: Store, artifact: ArtifactRef): Promise<Record<string, string>> {
  if (artifact.kind === "file") return { "": store.objects.path(artifact.digest) };
  const { files } = await store.objects.manifest(artifact.digest);
  return Object.fromEntries(
    Object.entries(files).map(([name, { digest }]) => [name, store.objects.path(digest)]),
  );
}

function toText(
  shown: { step: string; type: string; key: string; params: JsonObject; outputs: readonly ShownOutput[] },
  result: StoredResult,
): string {
  const { provenance } = result;
  const seconds = ((provenance.finishedAt - provenance.startedAt) / 1000).toFixed(1);
  const lines = [
    `${shown.step}  (${shown.type})`,
    `  key       ${shown.key}`,
    `  made      ${new Date(provenance.finishedAt).toISOString()} in ${seconds} s, run ${provenance.runId}, on ${provenance.host}`,
    `  with      ${describe({ ranflow: provenance.ranflow, node: provenance.node, ...provenance.compute })}`,
    `  params    ${describe(shown.params)}`,
  ];
  for (const output of shown.outputs) {
    lines.push("", `  ${output.port}  (${output.type}, ${output.size} bytes)  ${output.digest}`);
    if (output.metrics !== undefined && isObject(output.metrics)) {
      for (const [name, value] of Object.entries(output.metrics))
        lines.push(`    ${name.padEnd(28)} ${String(value)}`);
    }
    if (!output.files) {
      lines.push(
        "    the bytes were removed by gc; they are made again when a step that must run reads them",
      );
      continue;
    }
    const entries = Object.entries(output.files);
    for (const [name, path] of entries.slice(0, 12))
      lines.push(name ? `    ${name}\n      ${path}` : `    ${path}`);
    if (entries.length > 12)
      lines.push(`    ... and ${entries.length - 12} more files (--json lists them all)`);
  }
  return lines.join("\n");
}

function describe(values: JsonObject): string {
  return Object.entries(values)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(" ");
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
