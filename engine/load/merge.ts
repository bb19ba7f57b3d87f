import type { SourceFile, SourceRange } from "../model/source.ts";
import type { Report } from "./report.ts";
import type { PluginEntry } from "./plugin-list.ts";
import type { FileSource, NodeSource } from "./structure.ts";
import type { MapEntry, MapTree, Tree } from "./tree.ts";

/** One pipeline, put together from its file and the fragments that this imports. */
export interface PipelineFiles {
  /** The pipeline's own file. */
  readonly file: SourceFile;
  readonly start: SourceRange;
  readonly name: Tree | undefined;
  readonly description: Tree | undefined;
  readonly seed: Tree | undefined;
  readonly executor: Tree | undefined;
  readonly slurm: Tree | undefined;
  readonly inputs: MapTree | undefined;
  readonly axes: MapTree | undefined;
  /** Axes in place of which there are others: rules that name their labels are no mistakes. */
  readonly formerAxes: readonly MapEntry[];
  /** Profile -> what each file says of it, the strongest last. */
  readonly profiles: ReadonlyMap<string, readonly MapEntry[]>;
  readonly zip: readonly Tree[];
  readonly exclude: readonly Tree[];
  readonly include: readonly Tree[];
  readonly plugins: readonly PluginEntry[];
  readonly nodes: readonly NodeSource[];
  /** False where no file has the field at all. */
  readonly hasNodes: boolean;
}

/**
 * Merges a pipeline's files: inputs value by value, axes, the seed and where steps run as a whole; what comes later wins. Nodes of one
 * name in two files are an error.
 *
 * @param files the pipeline's own last, each after those that it imports
 */
export function mergeFiles(own: FileSource, files: readonly FileSource[], report: Report): PipelineFiles {
  const maps = (pick: (file: FileSource) => MapTree | undefined): MapTree[] =>
    files.flatMap((file) => pick(file) ?? []);
  const field = (name: string): Tree | undefined => own.fields.get(name)?.value;
  const last = (name: string): Tree | undefined =>
    files.findLast(({ fields }) => fields.has(name))?.fields.get(name)?.value;
  const formerAxes: MapEntry[] = [];
  const grid = (name: string): Tree[] => files.flatMap((file) => file.grid.get(name)?.value ?? []);
  return {
    file: own.file,
    start: own.start,
    name: field("name"),
    description: field("description"),
    seed: last("seed"),
    executor: last("executor"),
    slurm: last("slurm"),
    inputs: merged(
      maps(({ inputs }) => inputs),
      mergeValues,
    ),
    axes: merged(
      maps(({ axes }) => axes),
      (earlier, later) => {
        formerAxes.push(earlier);
        return later;
      },
    ),
    formerAxes,
    profiles: Map.groupBy(
      maps(({ profiles }) => profiles).flatMap(({ entries }) => entries),
      ({ key }) => key,
    ),
    zip: grid("zip"),
    exclude: grid("exclude"),
    include: grid("include"),
    plugins: files.flatMap((file) => file.plugins),
    nodes: mergeNodes(files, report),
    hasNodes: files.some(({ fields }) => fields.has("nodes")),
  };
}

/** Entries keep the place of their first mention, so that the order of axes does not hang on who changes their values. */
function merged(
  maps: readonly MapTree[],
  both: (earlier: MapEntry, later: MapEntry) => MapEntry,
): MapTree | undefined {
  const [first, ...rest] = maps;
  if (!first || rest.length === 0) return first;
  const entries = new Map<string, MapEntry>();
  for (const map of maps) {
    for (const entry of map.entries) {
      const earlier = entries.get(entry.key);
      entries.set(entry.key, earlier ? both(earlier, entry) : entry);
    }
  }
  return { ...(rest.at(-1) ?? first), entries: [...entries.values()] };
}

function mergeValues(earlier: MapEntry, later: MapEntry): MapEntry {
  if (earlier.value.kind !== "map" || later.value.kind !== "map") return later;
  return { ...later, value: merged([earlier.value, later.value], mergeValues) ?? later.value };
}

function mergeNodes(files: readonly FileSource[], report: Report): readonly NodeSource[] {
  const nodes = new Map<string, NodeSource>();
  for (const node of files.flatMap((file) => file.nodes)) {
    const earlier = nodes.get(node.name);
    if (earlier) {
      report.error("duplicate-node", `two files of this pipeline have a node \`${node.name}\``, node.range, {
        hint: "rename one of them, or import one file under a namespace: `imports: { name: file.yaml }`",
        related: [{ message: "the first one", location: earlier.range }],
      });
    } else nodes.set(node.name, node);
  }
  return [...nodes.values()];
}
