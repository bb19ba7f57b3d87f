import type { NodeLibrary, NodeType } from "../sdk.ts";

/** A library of node types that are in memory already. */
export function libraryOf(types: Iterable<NodeType>): NodeLibrary {
  const byName = new Map([...types].map((nodeType) => [nodeType.type, nodeType]));
  return { names: [...byName.keys()], get: (name) => Promise.resolve(byName.get(name)) };
}

/** The node types of several libraries; of one name, the first. */
export function joinLibraries(libraries: readonly NodeLibrary[]): NodeLibrary {
  return {
    names: [...new Set(libraries.flatMap(({ names }) => names))],
    get: async (name) => libraries.find(({ names }) => names.includes(name))?.get(name),
  };
}

/** Every node type of a library, in alphabetical order and so by family. */
export async function everyType(library: NodeLibrary): Promise<readonly NodeType[]> {
  const types = await Promise.all(library.names.toSorted().map((name) => library.get(name)));
  return types.filter((nodeType) => nodeType !== undefined);
}
