import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { groupText, range, type Graph } from "../graph.ts";

/** For tools that know steps by their files: the text of each group is a file, `values/<group>`. */
export async function writeValues(graph: Graph, folder: string): Promise<void> {
  await mkdir(join(folder, "values"));
  for (const group of range(graph.groups)) await writeValue(graph, folder, group, 0);
}

/** Writes the group's text again, as it is in this edition. */
export async function editValue(graph: Graph, folder: string, edition: number): Promise<void> {
  await writeValue(graph, folder, graph.groups >> 1, edition);
}

function writeValue(graph: Graph, folder: string, group: number, edition: number): Promise<void> {
  return writeFile(join(folder, "values", String(group)), groupText(graph, group, edition));
}

/** A shell command that writes a text. */
export function printTo(text: string, file: string): string {
  return `printf '%s' '${text}' > ${file}`;
}
