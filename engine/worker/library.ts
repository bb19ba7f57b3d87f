import { joinLibraries } from "../model/node-library.ts";
import type { NodeLibrary } from "../sdk.ts";

/** The node types of some modules that export `library`; of one name the first one counts. */
export async function loadLibrary(urls: readonly string[]): Promise<NodeLibrary> {
  const modules = await Promise.all(urls.map((url) => import(url) as Promise<{ library: NodeLibrary }>));
  return joinLibraries(modules.map(({ library }) => library));
}
