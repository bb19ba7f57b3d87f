import type { SourceRange } from "../model/source.ts";
import type { Report } from "./report.ts";
import { describe, isNull } from "./tree.ts";
import type { Tree } from "./tree.ts";

/** An entry of `plugins`. */
export interface PluginEntry {
  /** As it is written. */
  readonly path: string;
  readonly range: SourceRange;
}

/** Reads `plugins`: a list of paths. */
export function readPlugins(tree: Tree | undefined, report: Report): PluginEntry[] {
  if (!tree) return [];
  const wrong = (part: Tree, what: string): PluginEntry[] => {
    report.error("wrong-type", `${what} is ${describe(part)}`, part.range, {
      hint: "list the files of your node types: `plugins: [./my-nodes.ts]`",
    });
    return [];
  };
  if (tree.kind !== "list") return wrong(tree, "`plugins`");
  return tree.items.flatMap((item) => {
    if (item.kind !== "scalar" || isNull(item) || item.text === "") return wrong(item, "a plugin");
    return [{ path: item.text, range: item.range }];
  });
}
