import type { Resources } from "../model/grid.ts";
import type { NodeType } from "../sdk.ts";
import type { DiagnosticCode } from "../model/diagnostic.ts";
import type { Report } from "./report.ts";
import { describe, entryOf } from "./tree.ts";
import type { Tree } from "./tree.ts";

/** A whole number of at least `least` that JSON holds exactly; `least` where it is something else. */
export function readWhole(
  field: string,
  tree: Tree,
  report: Report,
  most = Number.MAX_SAFE_INTEGER,
  least = 0,
): number {
  const value = tree.kind === "scalar" ? tree.value : undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  wrong(field, tree, `it is a whole number ${range}`, report);
  return least;
}

export function readBoolean(field: string, tree: Tree, report: Report): boolean {
  if (tree.kind === "scalar" && typeof tree.value === "boolean") return tree.value;
  wrong(field, tree, "it is `true` or `false`", report);
  return true;
}

export function readText(field: string, tree: Tree, report: Report): string {
  if (tree.kind === "scalar" && tree.value !== null) return tree.text;
  wrong(field, tree, "it is text", report);
  return "";
}

const seconds: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/** A duration such as `90s`, `30m`, `1h30m`, in milliseconds. */
export function readDuration(field: string, tree: Tree, report: Report): number {
  const text = tree.kind === "scalar" ? tree.text.replaceAll(" ", "") : "";
  let total = 0;
  if (/^(\d+(\.\d+)?(ms|[smhd]))+$/.test(text)) {
    for (const [, amount, unit] of text.matchAll(/([\d.]+)(ms|[smhd])/g)) {
      total += Number(amount) * (seconds[unit ?? ""] ?? 0) * 1000;
    }
  }
  // A timer of more than 2^31 - 1 ms would fire at once.
  if (total > 0 && total < 2 ** 31) return Math.round(total);
  wrong(field, tree, "write a number with its unit, up to 24d: `90s`, `30m`, `1h30m`", report);
  return 0;
}

/** What a step may use: the node's `resources` over the node type's. */
export function readResources(nodeType: NodeType, tree: Tree | undefined, report: Report): Resources {
  const { cpu = 1, memory = 0, gpu = 0 } = nodeType.resources ?? {};
  if (!tree) return { cpu, memory, gpu, other: {} };
  if (tree.kind !== "map") {
    wrong("resources", tree, "it is a map: `{ cpu: 2, memory: 4G, gpu: 1 }`", report);
    return { cpu, memory, gpu, other: {} };
  }
  const other = tree.entries.filter(({ key }) => !["cpu", "memory", "gpu"].includes(key));
  const amount = (
    name: string,
    read: (field: string, tree: Tree, report: Report) => number,
  ): number | undefined => {
    const entry = entryOf(tree, name);
    return entry && read(`resources.${name}`, entry.value, report);
  };
  return {
    cpu: amount("cpu", readAmount) ?? cpu,
    memory: amount("memory", readBytes) ?? memory,
    gpu: amount("gpu", readWhole) ?? gpu,
    other: Object.fromEntries(
      other.map(({ key, value }) => [key, readAmount(`resources.${key}`, value, report)]),
    ),
  };
}

function readAmount(field: string, tree: Tree, report: Report): number {
  const value = tree.kind === "scalar" ? tree.value : undefined;
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  wrong(field, tree, "it is a number of at least 0", report);
  return 0;
}

/** An amount of memory in bytes: `512M` and `4G` count in powers of 1024, as `free` and Slurm do; `4GB` in powers of 1000. */
function readBytes(field: string, tree: Tree, report: Report): number {
  const text = tree.kind === "scalar" ? tree.text : "";
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT])(iB|B)?$/.exec(text);
  if (match) {
    const [, amount, unit = "", suffix] = match;
    return Math.round(Number(amount) * (suffix === "B" ? 1000 : 1024) ** ("KMGT".indexOf(unit) + 1));
  }
  wrong(field, tree, "write a number with its unit: `512M`, `4G`", report);
  return 0;
}

function wrong(field: string, tree: Tree, hint: string, report: Report): void {
  const code: DiagnosticCode = "wrong-type";
  report.error(code, `\`${field}\` is ${describe(tree)}`, tree.range, {
    hint,
    related: tree.use ? [{ message: "used here", location: tree.use }] : undefined,
  });
}
