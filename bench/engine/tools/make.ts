import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { fourthLayer, range, textOf, thirdLayer, type Graph } from "../graph.ts";
import type { Absent, Tool } from "../tool.ts";
import { editValue, printTo, writeValues } from "./files.ts";

const run = promisify(execFile);

export async function make(): Promise<Tool | Absent> {
  const found = await run("make", ["--version"]).catch(() => undefined);
  if (!found) return { name: "make", why: "there is no `make` on the PATH: `apt install make`" };
  return {
    name: "make -j2",
    version: found.stdout.split("\n")[0] ?? "",
    largest: Number.POSITIVE_INFINITY,
    async prepare(graph, folder) {
      await writeValues(graph, folder);
      await mkdir(join(folder, "out"));
      await writeFile(join(folder, "Makefile"), makefileOf(graph));
    },
    edit: editValue,
    command: (measurement) => ["make", "-j2", "-s", ...(measurement === "plan" ? ["-n"] : [])],
  };
}

function makefileOf({ groups }: Graph): string {
  const rules = [rule("first", [], printTo(textOf("first"), "$@"))];
  const leaves: string[] = [];
  for (const group of range(groups)) {
    rules.push(rule(`second-${group}`, ["out/first", `values/${group}`], `cat values/${group} > $@`));
    for (const branch of range(thirdLayer)) {
      const third = `third-${group}-${branch}`;
      rules.push(rule(third, [`out/second-${group}`], printTo(textOf("t", group, branch), "$@")));
      for (const leaf of range(fourthLayer)) {
        const fourth = `fourth-${group}-${branch}-${leaf}`;
        rules.push(rule(fourth, [`out/${third}`], printTo(textOf("f", group, branch, leaf), "$@")));
        leaves.push(`out/${fourth}`);
      }
    }
  }
  return `all: out/last\n${rules.join("")}${rule("last", leaves, printTo(textOf("last"), "$@"))}`;
}

function rule(name: string, inputs: readonly string[], command: string): string {
  return `out/${name}: ${inputs.join(" ")}\n\t${command}\n`;
}
