import type { NodeEstimate, PlanEstimate } from "../model/plan.ts";
import { formatBytes, formatCount, formatDuration, plural } from "./format.ts";

/** Node types that get a line of their own. */
const shown = 8;

/** What a plan is expected to take: lines, with the rows of a table between them. */
export interface EstimateText {
  readonly heading: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

/** The estimate by node type; nothing where nothing is to be executed. */
export function estimateText({ bytes, longestPath, milliseconds, nodes }: PlanEstimate): EstimateText {
  if (nodes.length === 0) return { heading: [], rows: [], notes: [] };
  const types = [...Map.groupBy(nodes, ({ type }) => type).values()].map(together);
  const known = types.filter(({ steps, unknown }) => unknown.time < steps);
  if (known.length === 0) {
    return {
      heading: ["Estimate: none, for nothing like these steps has run with this store yet"],
      rows: [],
      notes: [],
    };
  }
  const missing = types.filter(({ unknown }) => unknown.time > 0 || unknown.space > 0);
  const sorted = known.toSorted((a, b) => b.milliseconds - a.milliseconds);
  const rest = sorted.slice(shown);
  return {
    heading: [
      `Estimate: ${missing.length > 0 ? "at least " : ""}${formatDuration(milliseconds)} of work, ` +
        `${formatDuration(longestPath)} of it one after the other, and ${formatBytes(bytes)} in the store,`,
      "by what steps of these types took with this store, on the machines that ran them",
    ],
    rows: [
      ["node type", "steps", "each", "together", "space", "told from"],
      ...sorted.slice(0, shown).map(typeRow),
      ...(rest.length > 0 ? [restRow(rest)] : []),
    ],
    notes: missing.length > 0 ? [notTold(missing)] : [],
  };
}

/** The nodes of one type as one. */
function together(nodes: readonly NodeEstimate[]): NodeEstimate {
  const [first] = nodes as [NodeEstimate];
  const sum = (of: (node: NodeEstimate) => number): number =>
    nodes.reduce((total, node) => total + of(node), 0);
  return {
    ...first,
    steps: sum(({ steps }) => steps),
    milliseconds: sum(({ milliseconds }) => milliseconds),
    bytes: sum(({ bytes }) => bytes),
    unknown: { time: sum(({ unknown }) => unknown.time), space: sum(({ unknown }) => unknown.space) },
    stretch: Math.max(...nodes.map(({ stretch }) => stretch)),
  };
}

function typeRow({ bytes, milliseconds, records, steps, stretch, type, unknown }: NodeEstimate): string[] {
  const far = stretch >= 10 ? `, for ${formatCount(Number(stretch.toPrecision(2)))} times the work` : "";
  return [
    type,
    formatCount(steps),
    formatDuration(milliseconds / (steps - unknown.time)),
    formatDuration(milliseconds),
    formatBytes(bytes),
    `${plural(records, "result")}${far}`,
  ];
}

function restRow(types: readonly NodeEstimate[]): string[] {
  const { bytes, milliseconds, steps } = together(types);
  const name = plural(types.length, "other type");
  return [name, formatCount(steps), "", formatDuration(milliseconds), formatBytes(bytes)];
}

function notTold(types: readonly NodeEstimate[]): string {
  const names = types.map(({ type, unknown }) => {
    const steps = plural(Math.max(unknown.time, unknown.space), "step");
    return `${steps} of ${type}${unknown.time === 0 ? " (space only)" : ""}`;
  });
  return `Not in it, for nothing like them has run here or what they read is not known yet: ${names.join(", ")}`;
}
