import { resolve } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { folderOnDisk } from "./folder.ts";
import { tableEndings } from "./own-table.ts";

/** Name of the file that holds the tensors. */
export const tensorsFile = "tokens.safetensors";

/** Finds the table and the tensors in a folder of tokens. @throws NodeError where one is missing, or there are several tables */
export async function findTokenFiles(
  folder: string,
): Promise<{ readonly root: string; readonly files: readonly string[] }> {
  const root = resolve(folder);
  const names = await folderOnDisk(root).list("");
  const tables = tableEndings.map((ending) => `tokens${ending}`).filter((name) => names?.has(name));
  const [table] = tables;
  if (table !== undefined && tables.length === 1 && names?.has(tensorsFile))
    return { root, files: [table, tensorsFile] };
  const trouble =
    names === undefined
      ? "does not exist or is no folder"
      : tables.length > 1
        ? `has several tables: ${tables.join(", ")}`
        : `has no ${table === undefined ? "table of tokens" : tensorsFile}`;
  throw new NodeError(`the folder of tokens, ${root}, ${trouble}`, {
    hint: `Give the folder that holds ${tensorsFile} and one table, tokens with the ending ${tableEndings.join(", ")}.`,
  });
}
