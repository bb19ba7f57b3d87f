import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { measure, median, type Measured } from "../measure.ts";
import type { Graph } from "./graph.ts";
import { measurements, type Measurement, type Tool } from "./tool.ts";

/** Medians of one tool at one size. */
export interface Figures {
  /** Seconds, see `Measured`. */
  readonly wall: number;
  readonly cpu: number;
  /** Bytes. */
  readonly peak: number | undefined;
  readonly runs: number;
}

export interface SizeResult {
  readonly steps: number;
  /** Tools that were measured at this size. */
  readonly tools: Readonly<Record<string, Readonly<Record<Measurement, Figures>>>>;
}

export interface SizeOptions {
  readonly graph: Graph;
  readonly tools: readonly Tool[];
  readonly rounds: number;
  readonly folder: string;
  /** Seconds that a tool's first runs may take in all: where one takes long, fewer are made. */
  readonly firstRuns: number;
  readonly say: (line: string) => void;
}

/**
 * Measures the tools in turn, so many rounds of all of them: what else the machine does meanwhile hits all alike. No
 * folder is removed before the end, for file systems are slow to fill the places of what was just removed.
 */
export async function runSize({
  graph,
  tools,
  rounds,
  folder,
  firstRuns,
  say,
}: SizeOptions): Promise<SizeResult> {
  const measured = new Map(tools.map((tool) => [tool, new Map<Measurement, Measured[]>()]));
  const folders = new Map<Tool, string>();
  const spent = new Map<Tool, number>();
  for (let round = 1; round <= rounds; round++) {
    for (const tool of tools) {
      const take = async (measurement: Measurement): Promise<Measured> => {
        const cwd = folders.get(tool) as string;
        const output = join(folder, "output.txt");
        const one = await measure({
          argv: tool.command(measurement),
          cwd,
          output,
          ...(tool.env && { env: tool.env }),
        });
        const all = measured.get(tool)?.get(measurement) ?? [];
        measured.get(tool)?.set(measurement, [...all, one]);
        say(`${graph.steps} steps, round ${round}: ${tool.name} ${measurement} ${one.wall.toFixed(2)} s`);
        return one;
      };
      const before = spent.get(tool) ?? 0;
      if (before + before / Math.max(1, round - 1) <= firstRuns) {
        const fresh = await mkdtemp(join(folder, "grid-"));
        await tool.prepare(graph, fresh);
        folders.set(tool, fresh);
        spent.set(tool, before + (await take("first")).wall);
      }
      await take("noop");
      await take("plan");
      await tool.edit(graph, folders.get(tool) as string, round);
      await take("change");
    }
  }
  return {
    steps: graph.steps,
    tools: Object.fromEntries(
      tools.map((tool) => [
        tool.name,
        Object.fromEntries(
          measurements.map((measurement) => [
            measurement,
            figuresOf(measured.get(tool)?.get(measurement) ?? []),
          ]),
        ) as Record<Measurement, Figures>,
      ]),
    ),
  };
}

function figuresOf(runs: readonly Measured[]): Figures {
  const peaks = runs.flatMap(({ peak }) => peak ?? []);
  return {
    wall: median(runs.map(({ wall }) => wall)),
    cpu: median(runs.map(({ cpu }) => cpu)),
    peak: peaks.length > 0 ? median(peaks) : undefined,
    runs: runs.length,
  };
}
