import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fourthLayer, textOf, thirdLayer, type Graph } from "../graph.ts";
import type { Absent, Tool } from "../tool.ts";
import { editValue, printTo, writeValues } from "./files.ts";
import { fromPyPI } from "./python.ts";

/** @param environments folder for Python environments */
export async function snakemake(environments: string): Promise<Tool | Absent> {
  const found = await fromPyPI("snakemake", "9.27.1", environments);
  if ("why" in found) return found;
  return {
    name: "snakemake --cores 2",
    version: found.version,
    largest: 5_002,
    async prepare(graph, folder) {
      await writeValues(graph, folder);
      await writeFile(join(folder, "Snakefile"), snakefileOf(graph));
    },
    edit: editValue,
    command: (measurement) => [
      found.path,
      "--cores",
      "2",
      "--quiet",
      "all",
      ...(measurement === "plan" ? ["--dry-run"] : []),
    ],
    // It keeps a cache of sources in the user's folder otherwise.
    env: { XDG_CACHE_HOME: join(environments, "cache") },
  };
}

function snakefileOf({ groups }: Graph): string {
  const rule = (name: string, inputs: readonly string[], output: string, command: string): string =>
    `rule ${name}:\n${inputs.length > 0 ? `    input: ${inputs.join(", ")}\n` : ""}` +
    `    output: ${output}\n    shell: "${command}"\n`;
  const all = [groups, thirdLayer, fourthLayer].map((count) => `range(${count})`);
  return [
    `rule all:\n    input: "out/last"\n`,
    rule("first", [], `"out/first"`, printTo(textOf("first"), "{output}")),
    rule("second", [`"out/first"`, `value="values/{g}"`], `"out/second-{g}"`, "cat {input.value} > {output}"),
    rule("third", [`"out/second-{g}"`], `"out/third-{g}-{b}"`, printed("t-{wildcards.g}-{wildcards.b}")),
    rule(
      "fourth",
      [`"out/third-{g}-{b}"`],
      `"out/fourth-{g}-{b}-{l}"`,
      printed("f-{wildcards.g}-{wildcards.b}-{wildcards.l}"),
    ),
    rule(
      "last",
      [`expand("out/fourth-{g}-{b}-{l}", g=${all[0]}, b=${all[1]}, l=${all[2]})`],
      `"out/last"`,
      printTo(textOf("last"), "{output}"),
    ),
  ].join("\n");
}

function printed(text: string): string {
  return printTo(text, "{output}");
}
