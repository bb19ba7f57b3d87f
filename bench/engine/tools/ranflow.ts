import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fourthLayer, groupText, range, textOf, thirdLayer, type Graph } from "../graph.ts";
import type { Tool } from "../tool.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const file = "grid.yaml";

/** This repository's build, by its bin and not through npx. */
export async function ranflow(): Promise<Tool> {
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
  const bin = [process.execPath, join(root, "dist", "engine", "cli", "main.js")];
  return {
    name: "ranflow",
    version: `${version}, node ${process.versions.node}`,
    largest: Number.POSITIVE_INFINITY,
    prepare: (graph, folder) => writeFile(join(folder, file), pipelineOf(graph, 0)),
    edit: (graph, folder, edition) => writeFile(join(folder, file), pipelineOf(graph, edition)),
    command: (measurement) => [...bin, measurement === "plan" ? "plan" : "run", file, "--store", ".ranflow"],
  };
}

function pipelineOf(graph: Graph, edition: number): string {
  const groups = range(graph.groups).map((group) => `    "${group}": ${groupText(graph, group, edition)}\n`);
  return `name: grid
axes:
  group:
${groups.join("")}  branch: [${range(thirdLayer).join(", ")}]
  leaf: [${range(fourthLayer).join(", ")}]
nodes:
  first: { type: text.write, with: { text: ${textOf("first")} } }
  second: { type: text.write, in: { after: first }, with: { text: $(group) } }
  third: { type: text.write, in: { after: second }, with: { text: t-$(group.label)-$(branch) } }
  fourth: { type: text.write, in: { after: third }, with: { text: f-$(group.label)-$(branch)-$(leaf) } }
  last: { type: text.write, in: { after: { collect: fourth.text } }, with: { text: ${textOf("last")} } }
`;
}
