/** A node of a graph that is to be drawn. */
export interface GraphNode {
  readonly name: string;
  readonly reads: readonly string[];
}

/**
 * Arranges a graph without cycles in layers: every node in the first layer after all that it reads. Within a layer nodes
 * go by the mean place of their neighbours, swept down and up a few times (Sugiyama's barycenters), so that few edges cross.
 *
 * @param nodes in topological order; names that are not among them are no edges
 */
export function layersOf(nodes: readonly GraphNode[]): readonly (readonly string[])[] {
  const depth = new Map<string, number>();
  const readers = new Map<string, string[]>(nodes.map(({ name }) => [name, []]));
  const read = new Map<string, readonly string[]>();
  for (const { name, reads } of nodes) {
    const known = reads.filter((other) => depth.has(other));
    read.set(name, known);
    for (const other of known) readers.get(other)?.push(name);
    depth.set(name, Math.max(0, ...known.map((other) => (depth.get(other) ?? 0) + 1)));
  }
  // A source stands right above the first that reads it: edges are short, and the first layer is not all sources.
  for (const { name } of nodes.toReversed()) {
    const first = Math.min(...(readers.get(name) ?? []).map((reader) => depth.get(reader) ?? 0));
    if (read.get(name)?.length === 0 && Number.isFinite(first)) depth.set(name, first - 1);
  }
  const layers: string[][] = [];
  for (const { name } of nodes) (layers[depth.get(name) ?? 0] ??= []).push(name);
  for (let sweep = 0; sweep < 6; sweep++) {
    const down = sweep % 2 === 0;
    const place = placesOf(layers);
    for (const layer of down ? layers : layers.toReversed()) {
      const mean = new Map(
        layer.map((name) => {
          const near = (down ? read : readers).get(name) ?? [];
          const places = near.map((other) => place.get(other) ?? 0);
          const own = place.get(name) ?? 0;
          return [name, places.length === 0 ? own : places.reduce((sum, x) => sum + x, 0) / places.length];
        }),
      );
      layer.sort((a, b) => (mean.get(a) ?? 0) - (mean.get(b) ?? 0));
      layer.forEach((name, i) => place.set(name, placeIn(layer, i)));
    }
  }
  return layers;
}

function placesOf(layers: readonly (readonly string[])[]): Map<string, number> {
  return new Map(layers.flatMap((layer) => layer.map((name, i) => [name, placeIn(layer, i)] as const)));
}

/** Layers are centred on each other. */
function placeIn(layer: readonly string[], i: number): number {
  return i - (layer.length - 1) / 2;
}
