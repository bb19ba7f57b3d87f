import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import type { ScanContext, ScanResult } from "../../engine/sdk.ts";
import type { ExecParams } from "../exec.ts";
import { cleanName } from "./file-names.ts";

/** Folders that tools leave beside scripts, and that no script means. */
const leftOut = new Set([".git", ".ranflow", "__pycache__", "node_modules", ".ipynb_checkpoints"]);

/** Scripts are copied for every step: more of them than this are no scripts. */
const most = 10_000;

/** Names the files that `files` stands for: folders with all that is below them. */
export async function scanFiles({
  params,
  signal,
}: ScanContext<Pick<ExecParams, "files" | "folder">>): Promise<ScanResult | undefined> {
  const root = params.folder;
  const names = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    signal.throwIfAborted();
    for (const entry of await readdir(join(root, name), { withFileTypes: true })) {
      const below = name === "." ? entry.name : `${name}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!leftOut.has(entry.name)) await visit(below);
      } else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(join(root, below))))) {
        add(below);
      } else if (entry.isSymbolicLink()) {
        throw new NodeError(`${join(root, below)} is a link to a folder`, {
          hint: `links to folders are not followed: name \`${below}\` under \`files\` itself`,
        });
      }
      // Sockets, pipes and devices are no scripts.
    }
  };
  const add = (name: string): void => {
    names.add(name);
    if (names.size <= most) return;
    throw new NodeError(`\`files\` stands for more than ${most.toLocaleString("en")} files`, {
      hint: "name the scripts that the program needs; give it data as inputs",
    });
  };
  for (const file of params.files) {
    const name = cleanName(file);
    const found = await stat(join(root, name)).catch(() => undefined);
    if (!found) {
      throw new NodeError(`there is no ${name} in ${root}`, {
        hint: "names under `files` start from the folder of the pipeline's file, or from `folder`",
      });
    }
    if (found.isDirectory()) await visit(name);
    else add(name);
  }
  return { dataset: "files of exec", root, files: [...names].toSorted() };
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) {
    throw new NodeError(`${path} is a link that leads nowhere`, { hint: "mend or remove it" });
  }
  return found.isFile();
}
