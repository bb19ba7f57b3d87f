import { formatCount } from "../format.ts";
import { html, lines, type Html } from "./html.ts";
import { layersOf } from "./layers.ts";
import type { PageNode } from "./page-data.ts";

const box = { width: 132, height: 40 };
const gap = { x: 14, y: 34 };
const margin = 6;

/**
 * The node graphs: one for the pipeline's own nodes, and one for those of each pipeline that it imports under a name, each
 * with the nodes of others that it reads.
 */
export function graphsOf(
  nodes: readonly PageNode[],
): readonly { readonly title: string; readonly svg: Html }[] {
  const groups = Map.groupBy(nodes, ({ name }) => namespaceOf(name));
  const byName = new Map(nodes.map((node) => [node.name, node]));
  return [...groups].map(([namespace, own]) => {
    const names = new Set(own.map(({ name }) => name));
    const read = new Set(own.flatMap(({ reads }) => reads).filter((name) => !names.has(name)));
    const others = [...read].flatMap((name) => byName.get(name) ?? []);
    return {
      title: namespace === "" ? "" : namespace.slice(0, -1),
      svg: graphSvg([...others.map((node) => ({ ...node, reads: [] })), ...own], namespace),
    };
  });
}

/** `t10/` of `t10/embed`. */
function namespaceOf(name: string): string {
  return name.slice(0, name.lastIndexOf("/") + 1);
}

function graphSvg(nodes: readonly PageNode[], namespace: string): Html {
  const layers = layersOf(nodes);
  const widest = Math.max(1, ...layers.map((layer) => layer.length));
  const width = widest * (box.width + gap.x) - gap.x + 2 * margin;
  const height = layers.length * (box.height + gap.y) - gap.y + 2 * margin;
  const centres = new Map<string, { readonly x: number; readonly top: number }>();
  for (const [depth, layer] of layers.entries()) {
    for (const [i, name] of layer.entries()) {
      const x = width / 2 + (i - (layer.length - 1) / 2) * (box.width + gap.x);
      centres.set(name, { x, top: margin + depth * (box.height + gap.y) });
    }
  }
  const edges = nodes.flatMap(({ name, reads }) =>
    reads.flatMap((other) => {
      const [from, to] = [centres.get(other), centres.get(name)];
      return from && to ? [edge(from.x, from.top + box.height, to.x, to.top)] : [];
    }),
  );
  const boxes = nodes.flatMap((node) => {
    const centre = centres.get(node.name);
    const own = namespaceOf(node.name) === namespace;
    return centre ? [nodeBox(node, own ? node.name.slice(namespace.length) : node.name, centre)] : [];
  });
  const label = `${formatCount(nodes.length)} nodes and what they read`;
  return html`<svg
    class="graph"
    viewBox="0 0 ${width} ${height}"
    width="${width}"
    height="${height}"
    role="img"
    aria-label="${label}"
  >
    <g fill="none" stroke="#8a94a6">${lines(edges)}</g>
    ${lines(boxes)}
  </svg>`;
}

function edge(x1: number, y1: number, x2: number, y2: number): Html {
  const bend = Math.min(gap.y, (y2 - y1) / 2);
  return html`<path d="M${x1},${y1} C${x1},${y1 + bend} ${x2},${y2 - bend} ${x2},${y2}" />`;
}

function nodeBox(
  { reads, steps, type }: PageNode,
  name: string,
  { top, x }: { readonly x: number; readonly top: number },
): Html {
  const left = x - box.width / 2;
  const fill = type.startsWith("report.") ? "#fdf0dc" : reads.length === 0 ? "#e9eef6" : "#ffffff";
  const times = steps === 1 ? "" : ` × ${formatCount(steps)}`;
  const under = shortened(type, 25 - times.length) + times;
  return html`<g
    ><title>${name}: ${type}, ${formatCount(steps)} ${steps === 1 ? "step" : "steps"}</title>
    <rect
      x="${left}"
      y="${top}"
      width="${box.width}"
      height="${box.height}"
      rx="5"
      fill="${fill}"
      stroke="#4a5568"
    />
    <text x="${x}" y="${top + 17}" class="name">${shortened(name, 19)}</text>
    <text x="${x}" y="${top + 31}" class="type">${under}</text></g
  >`;
}

function shortened(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
