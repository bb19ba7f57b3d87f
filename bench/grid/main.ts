import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { parse } from "yaml";
import { pictureWriter } from "../../nodes/data/phantom/encode.ts";
import {
  writeChestxray14,
  writeChexpert,
  writeMedicat,
  writeRocov2,
} from "../../nodes/data/phantom/layouts.ts";
import { pythonEnvironment } from "../compute/python.ts";
import { markdownTable, median, writeSection } from "../results.ts";

/**
 * The graph of laptop.yaml against a plain sequential PyTorch script of the same work; both may use all cores, and
 * both find the synthetic datasets made.
 */
const { values: options } = parseArgs({
  options: {
    pipeline: { type: "string", default: "laptop" },
    rounds: { type: "string", default: "1" },
    python: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const pipeline = here(`../../pipelines/${options.pipeline}.yaml`);
const run = promisify(execFile);

const environment = pythonEnvironment(options.python);
const folder = await mkdtemp(join(tmpdir(), "ranflow-grid-"));
try {
  const inputs = {
    ...(await inputsOf(here("../../pipelines/quickstart.yaml"))),
    ...(await inputsOf(pipeline)),
  };
  await writeDatasets(join(folder, "data"), inputs);
  await ranflow(join(folder, "world"), "world");
  const rounds: { torch: number; ours: number }[] = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    const store = join(folder, `round-${round}`);
    await cp(join(folder, "world"), store, { recursive: true });
    rounds.push({
      torch: await seconds(environment.python, [
        here("torch_grid.py"),
        JSON.stringify({ folder: join(folder, "data"), inputs }),
      ]),
      ours: await ranflow(store),
    });
    await rm(store, { recursive: true });
  }
  const result: GridResult & { readonly pipeline: string } = {
    pipeline: options.pipeline,
    torchSeconds: median(rounds.map(({ torch }) => torch)),
    ourSeconds: median(rounds.map(({ ours }) => ours)),
    ratio: median(rounds.map(({ torch, ours }) => torch / ours)),
  };
  if (options.json) console.log(JSON.stringify(result));
  else console.log(`torch ${result.torchSeconds.toFixed(0)} s, ours ${result.ourSeconds.toFixed(0)} s`);
  if (options.pipeline === "laptop") writeSection(report(result));
} finally {
  environment.remove();
  await rm(folder, { recursive: true, force: true });
}

async function inputsOf(file: string): Promise<Readonly<Record<string, number | string>>> {
  return (parse(await readFile(file, "utf8")) as { inputs: Record<string, number | string> }).inputs;
}

/** Medians of the rounds; the ratio is torch's time over ours. */
interface GridResult {
  readonly torchSeconds: number;
  readonly ourSeconds: number;
  readonly ratio: number;
}

/** The folders that the loaders read, for the script. */
async function writeDatasets(root: string, inputs: Readonly<Record<string, number | string>>): Promise<void> {
  const world = { seed: 7, imageSize: Number(inputs["imageSize"]), difficulty: 0.1 };
  for (const { name, write, count } of [
    { name: "rocov2", write: writeRocov2, count: inputs["pairs"] },
    { name: "medicat", write: writeMedicat, count: inputs["targets"] },
    { name: "chestxray14", write: writeChestxray14, count: inputs["cxr"] },
    { name: "chexpert", write: writeChexpert, count: inputs["chexpert"] },
  ]) {
    const path = join(root, name);
    await mkdir(path, { recursive: true });
    const pictures = await pictureWriter(path, () => undefined);
    await write(path, world, Number(count), pictures);
    await pictures.finish();
  }
}

/** Runs the pipeline, or a part of it, in a store. @returns seconds */
function ranflow(store: string, ...selection: readonly string[]): Promise<number> {
  const cli = here("../../dist/engine/cli/main.js");
  return seconds(process.execPath, [cli, "run", pipeline, ...selection, "--store", store, "--ui", "plain"]);
}

async function seconds(program: string, args: readonly string[]): Promise<number> {
  const began = performance.now();
  await run(program, args, { maxBuffer: 2 ** 26 });
  return (performance.now() - began) / 1e3;
}

function report({ torchSeconds, ourSeconds, ratio }: GridResult): string {
  return [
    "# Grid benchmark",
    "The graph of `pipelines/laptop.yaml` (5 distinct CLIPs, 15 heads) against a sequential PyTorch script of the same work, " +
      `whole wall time on ${cpus().length} cores, datasets made beforehand. At least 1.2 is wanted, 2.0 hoped for.`,
    markdownTable(
      ["torch", "ours", "ratio"],
      [[`${torchSeconds.toFixed(0)} s`, `${ourSeconds.toFixed(0)} s`, ratio.toFixed(2)]],
    ),
  ].join("\n\n");
}
