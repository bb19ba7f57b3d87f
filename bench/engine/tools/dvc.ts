import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { fourthLayer, range, textOf, thirdLayer, type Graph } from "../graph.ts";
import type { Absent, Tool } from "../tool.ts";
import { editValue, printTo, writeValues } from "./files.ts";
import { fromPyPI } from "./python.ts";

const run = promisify(execFile);

/** @param environments folder for Python environments */
export async function dvc(environments: string): Promise<Tool | Absent> {
  const found = await fromPyPI("dvc", "3.67.1", environments);
  if ("why" in found) return found;
  const env = { DVC_NO_ANALYTICS: "1", XDG_CACHE_HOME: join(environments, "cache") };
  return {
    name: "dvc repro",
    version: found.version,
    // It has no steps in parallel, and writes one file of all steps after each of them.
    largest: 102,
    async prepare(graph, folder) {
      await run(found.path, ["init", "--no-scm", "--quiet"], {
        cwd: folder,
        env: { ...process.env, ...env },
      });
      await writeValues(graph, folder);
      await mkdir(join(folder, "out"));
      await writeFile(join(folder, "dvc.yaml"), pipelineOf(graph));
    },
    edit: editValue,
    command: (measurement) => [found.path, measurement === "plan" ? "status" : "repro", "--quiet"],
    env,
  };
}

/** YAML that is JSON. A matrix has one stage for each point, and fills in `${item.axis}`. */
function pipelineOf({ groups }: Graph): string {
  const [g, b, l] = ["${item.g}", "${item.b}", "${item.l}"];
  const stage = (output: string, deps: readonly string[], command: string, matrix = {}): object => ({
    ...(Object.keys(matrix).length > 0 && { matrix }),
    cmd: command,
    deps,
    outs: [output],
  });
  const axes = { g: range(groups), b: range(thirdLayer), l: range(fourthLayer) };
  const second = `out/second-${g}`;
  const third = `out/third-${g}-${b}`;
  const fourth = `out/fourth-${g}-${b}-${l}`;
  const leaves = axes.g.flatMap((group) =>
    axes.b.flatMap((branch) => axes.l.map((leaf) => `out/fourth-${group}-${branch}-${leaf}`)),
  );
  return JSON.stringify({
    stages: {
      first: stage("out/first", [], printTo(textOf("first"), "out/first")),
      second: stage(second, ["out/first", `values/${g}`], `cat values/${g} > ${second}`, { g: axes.g }),
      third: stage(third, [second], printTo(`t-${g}-${b}`, third), { g: axes.g, b: axes.b }),
      fourth: stage(fourth, [third], printTo(`f-${g}-${b}-${l}`, fourth), axes),
      last: stage("out/last", leaves, printTo(textOf("last"), "out/last")),
    },
  });
}
