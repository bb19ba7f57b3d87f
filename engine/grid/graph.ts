import type { SourceRange } from "../model/source.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";

/** Each node by name, in the order of the file, with the nodes that it reads and the place of the first such binding. */
export type NodeGraph = ReadonlyMap<string, ReadonlyMap<string, SourceRange>>;

/** The graph of the nodes. Maps, and no objects: a node may be called `constructor`. */
export function nodeGraph(nodes: readonly NodeSpec[]): NodeGraph {
  const graph = new Map(nodes.map(({ name }) => [name, new Map<string, SourceRange>()]));
  for (const { name, ports } of nodes) {
    for (const { sources } of ports) {
      for (const { choices } of sources) {
        for (const { bindings } of choices) {
          for (const { node, range } of bindings) {
            const read = graph.get(name);
            // A node whose own description is broken is missing here, and reported already.
            if (graph.has(node) && !read?.has(node)) read?.set(node, range);
          }
        }
      }
    }
  }
  return graph;
}

/**
 * Node names so that each comes after those it reads, otherwise in the order of the file; undefined where cycles,
 * which are then in the report, make that impossible.
 *
 * A depth-first walk with a stack of its own: a chain of a few thousand nodes would overflow the call stack.
 */
export function topologicalOrder(graph: NodeGraph, report: Report): readonly string[] | undefined {
  const order: string[] = [];
  const state = new Map<string, "open" | "done">();
  let acyclic = true;
  for (const start of graph.keys()) {
    if (state.has(start)) continue;
    const stack = [{ node: start, before: before(graph, start), next: 0 }];
    state.set(start, "open");
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const predecessor = top.before[top.next++];
      if (predecessor === undefined) {
        state.set(top.node, "done");
        order.push(top.node);
        stack.pop();
      } else if (state.get(predecessor) === "open") {
        acyclic = false;
        const path = stack.map(({ node }) => node);
        reportCycle(graph, path.slice(path.indexOf(predecessor)), report);
      } else if (!state.has(predecessor)) {
        state.set(predecessor, "open");
        stack.push({ node: predecessor, before: before(graph, predecessor), next: 0 });
      }
    }
  }
  return acyclic ? order : undefined;
}

const before = (graph: NodeGraph, node: string): readonly string[] => [...(graph.get(node)?.keys() ?? [])];

/** `readers`: each node reads the next one, and the last reads the first. */
function reportCycle(graph: NodeGraph, readers: readonly string[], report: Report): void {
  const nodes = [...graph.keys()];
  const first = readers.reduce((a, b) => (nodes.indexOf(a) < nodes.indexOf(b) ? a : b));
  const at = readers.indexOf(first);
  const path = [...readers.slice(at), ...readers.slice(0, at), first];
  const places = path.slice(0, -1).flatMap((reader, i) => {
    const location = graph.get(reader)?.get(path[i + 1] ?? "");
    return location ? [{ message: `\`${reader}\` reads \`${path[i + 1]}\``, location }] : [];
  });
  report.error(
    "cycle",
    first === path[1] ? `\`${first}\` reads itself` : `\`${path.join("` reads `")}\`, which is a cycle`,
    places[0]?.location,
    {
      hint: "a step can only read what ran before it: remove one of these bindings",
      related: places.slice(1),
    },
  );
}
