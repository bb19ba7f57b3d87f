import { Graph } from "graphlib";
import type { SourceRange } from "../model/source.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";

/**
 * A node's name in the graph. graphlib keeps names in plain objects, where `constructor` and the like are there from
 * the start.
 */
const vertexOf = (node: string): string => `:${node}`;
const nodeOf = (vertex: string): string => vertex.slice(1);

/** The graph of the nodes: an edge from each node to those that read it, labelled with the binding's place. */
export function nodeGraph(nodes: readonly NodeSpec[]): Graph {
  const graph = new Graph({ directed: true });
  for (const { name } of nodes) graph.setNode(vertexOf(name));
  for (const { name, ports } of nodes) {
    for (const { sources } of ports) {
      for (const { choices } of sources) {
        for (const { bindings } of choices) {
          for (const { node, range } of bindings) {
            // A node whose own description is broken is missing here, and reported already.
            const [from, to] = [vertexOf(node), vertexOf(name)];
            if (graph.hasNode(from) && !graph.hasEdge(from, to)) graph.setEdge(from, to, range);
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
 * A depth-first walk with a stack of its own: graphlib's `topsort` and `findCycles` recurse, and a chain of a few
 * thousand nodes overflows the call stack.
 */
export function topologicalOrder(graph: Graph, report: Report): readonly string[] | undefined {
  const order: string[] = [];
  const state = new Map<string, "open" | "done">();
  let acyclic = true;
  for (const start of graph.nodes().map(nodeOf)) {
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

const before = (graph: Graph, node: string): readonly string[] =>
  (graph.predecessors(vertexOf(node)) ?? []).map(nodeOf);

/** `readers`: each node reads the next one, and the last reads the first. */
function reportCycle(graph: Graph, readers: readonly string[], report: Report): void {
  const nodes = graph.nodes().map(nodeOf);
  const first = readers.reduce((a, b) => (nodes.indexOf(a) < nodes.indexOf(b) ? a : b));
  const at = readers.indexOf(first);
  const path = [...readers.slice(at), ...readers.slice(0, at), first];
  const places = path.slice(0, -1).flatMap((reader, i) => {
    const location = graph.edge(vertexOf(path[i + 1] ?? ""), vertexOf(reader)) as SourceRange | undefined;
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
