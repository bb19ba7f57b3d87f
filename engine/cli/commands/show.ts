import { constants, existsSync } from "node:fs";
import { chmod, copyFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { makeFolder } from "../../../cache/make-folder.ts";
import type { Store } from "../../../cache/types.ts";
import type { ArtifactRef } from "../../model/artifact.ts";
import type { Step } from "../../model/grid.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import type { StoredResult } from "../../model/plan.ts";
import { formatBytes, formatDuration, plural } from "../../report/format.ts";
import { readMeasured } from "../../run/measured.ts";
import type { Metrics } from "../../run/measured.ts";
import type { SourceRecord } from "../../sdk.ts";
import { exitCodes, fail } from "../exit.ts";
import { inspectCommand, inspectStep, type InspectOptions } from "../inspect.ts";

/** An output as `show` prints it: where its bytes are. */
interface ShownOutput {
  readonly port: string;
  readonly type: string;
  readonly digest: string;
  readonly size: number;
  /** Absolute path of a file, or of each file of a folder. Null where the bytes were collected by gc. */
  readonly files: Readonly<Record<string, string>> | null;
  readonly metrics?: Metrics;
}

/** `ranflow show [PIPELINE] STEP`: a step's outputs, metrics, parameters, and where the files are. */
export function register(program: Command): void {
  inspectCommand(program, "show")
    .summary("show a step's outputs, metrics, parameters and files")
    .description(
      "Shows a step's current result, or its last where it would run again: outputs, with the files in the store that hold " +
        "them, what was measured, parameters, and what made it.",
    )
    .option(
      "--to <dir>",
      "also copy the outputs there, a folder for each: a model that other programs can load",
    )
    .action(async (args: string[], options: InspectOptions & { readonly to?: string }) => {
      const { grid, store, planner, step } = await inspectStep(args, options);
      const key = planner.key(step.index);
      const current = key && store.result(key);
      const last = store.pointer(grid.pipeline, step.id)?.key;
      const result = current ?? (last && store.result(last));
      if (!result)
        return fail(
          `${step.id} has no result in ${store.root} yet; run it first: ranflow run ${grid.path}`,
          1,
        );
      const { source } = result.fingerprint;
      const shown = {
        step: step.id,
        type: step.nodeType.type,
        key: result.key,
        result: current ? "current" : "previous",
        params: current ? step.params : result.fingerprint.params,
        ...(source && { source }),
        outputs: await Promise.all(
          Object.entries(result.outputs).map(([port, artifact]) => showOutput(store, step, port, artifact)),
        ),
        provenance: result.provenance,
      };
      console.log(options.json ? JSON.stringify(shown, undefined, 2) : toText(shown, result));
      if (options.to !== undefined) await copyOutputs(shown.outputs, options.to);
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
  const metrics =
    type === "metrics" && files ? await readMeasured(store.objects.path(artifact.digest)) : undefined;
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

/** Copies each output to `folder`/port: as that file, or as a folder with its files. Nothing there is overwritten. */
async function copyOutputs(outputs: readonly ShownOutput[], folder: string): Promise<void> {
  const copies = outputs.flatMap(({ port, files }) =>
    Object.entries(files ?? {}).map(([name, path]) => ({ path, to: join(resolve(folder), port, name) })),
  );
  const gone = outputs.filter(({ files }) => !files).map(({ port }) => port);
  if (gone.length > 0)
    return fail(`the bytes of ${gone.join(", ")} were removed by gc`, exitCodes.stepFailed);
  const taken = copies.find(({ to }) => existsSync(to));
  if (taken) return fail(`${taken.to} exists already; give --to another folder`);
  try {
    for (const { path, to } of copies) {
      await makeFolder(dirname(to));
      // A link that stands there, wherever it leads, is not written through either.
      await copyFile(path, to, constants.COPYFILE_EXCL);
      await chmod(to, 0o644);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    fail(`the outputs cannot be copied to ${resolve(folder)}: ${code}`, exitCodes.stepFailed);
  }
  console.error(`\ncopied ${plural(copies.length, "file")} to ${resolve(folder)}`);
}

function toText(
  shown: {
    readonly step: string;
    readonly type: string;
    readonly key: string;
    readonly result: string;
    readonly params: JsonObject;
    readonly outputs: readonly ShownOutput[];
  },
  result: StoredResult,
): string {
  const { provenance } = result;
  const took = formatDuration(provenance.finishedAt - provenance.startedAt);
  const lines = [
    `${shown.step}  (${shown.type})`,
    ...(shown.result === "previous"
      ? ["  a previous result: the step would run again, or its data is not yet scanned"]
      : []),
    `  key       ${shown.key}`,
    `  made      ${new Date(provenance.finishedAt).toISOString()} in ${took}, run ${provenance.runId}, on ${provenance.host}`,
    `  with      ${describe({ ranflow: provenance.ranflow, node: provenance.node, ...provenance.compute })}`,
    `  params    ${describe(shown.params)}`,
    ...sourceLines(result.fingerprint.source),
  ];
  for (const output of shown.outputs) {
    const names = Object.keys(output.files ?? {});
    const count = names.length > 1 ? `, ${plural(names.length, "file")}` : "";
    lines.push(
      "",
      `  ${output.port}  (${output.type}, ${formatBytes(output.size)}${count})  ${output.digest}`,
    );
    if (output.metrics !== undefined) {
      for (const [name, value] of Object.entries(output.metrics))
        lines.push(`    ${name.padEnd(28)} ${measured(value)}`);
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
      lines.push(`    ... and ${entries.length - 12} more files (--json lists them, --to DIR copies them)`);
  }
  return lines.join("\n");
}

/** What the code of a plugin was when it made the result. */
function sourceLines(source: SourceRecord | undefined): readonly string[] {
  if (!source) return [];
  const files = Object.entries(source.files).map(([name, digest]) => `${name} ${digest.slice(0, 15)}..`);
  const packages = Object.entries(source.packages).map(([name, version]) => `${name}@${version}`);
  return [`  source    ${[...files, ...packages].join(", ")}`];
}

/** Six digits are what a person compares; --json has them all. */
function measured(value: Json): string {
  return typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(6) : String(value);
}

function describe(values: JsonObject): string {
  return Object.entries(values)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(" ");
}
