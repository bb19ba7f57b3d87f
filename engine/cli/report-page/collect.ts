import { basename } from "node:path";
import type { Store } from "../../../cache/types.ts";
import { ranflowVersion } from "../../../cache/version.ts";
import { lackOf } from "../../model/lack.ts";
import { formatBytes, plural } from "../../report/format.ts";
import type { PageData, PageMaker, PageReport } from "../../report/page/page-data.ts";
import { shellWord } from "../../report/shell-word.ts";
import { runCommand } from "../export/command.ts";
import { computedBy } from "../export/computed-by.ts";
import type { ExportedRun } from "../export/exported-run.ts";
import type { RunEnvironment } from "../run-manifest.ts";
import { lineageOf } from "./lineage.ts";
import { pageNodes, pageSteps } from "./nodes.ts";
import { reportFiles } from "./report-files.ts";

/** Collects what a report page shows of a run. */
export async function collectPage(run: ExportedRun, store: Store): Promise<PageData> {
  const { manifest, results, steps } = run;
  const { at, label, pipeline, whole } = results;
  const makers = pageMakers(run);
  const [main] = manifest?.files ?? [];
  return {
    pipeline,
    label,
    ...(manifest?.description !== undefined && { description: manifest.description }),
    at,
    whole,
    ranflow: ranflowVersion(),
    reports: await pageReports(run, store),
    nodes: pageNodes(run),
    steps: pageSteps(steps),
    makers,
    environment: manifest ? environmentFacts(manifest.environment, manifest.git) : [],
    warnings: warningsOf(run, makers),
    commands: [
      ...(manifest && main ? [runCommand(manifest.invocation, main.path)] : []),
      `ranflow trace ${shellWord(steps.at(-1)?.step ?? "STEP")}   # where a result came from, down to the data`,
      `ranflow export ${results.run ?? shellWord(label)} DIR   # fingerprints, metrics and files of this run`,
    ],
    files: manifest?.files.map(({ path, text }) => ({ name: basename(path), text })) ?? [],
  };
}

async function pageReports(run: ExportedRun, store: Store): Promise<readonly PageReport[]> {
  const descriptions = new Map(run.manifest?.nodes.map(({ description, name }) => [name, description]));
  const reports: PageReport[] = [];
  for (const step of run.steps) {
    for (const [, artifact] of run.artifacts(step, "report")) {
      const description = descriptions.get(step.node);
      reports.push({
        step: step.step,
        key: step.key,
        ...(description !== undefined && { description }),
        ...(await reportFiles(store, artifact)),
        lineage: lineageOf(run, store, step),
      });
    }
  }
  return reports;
}

/** Results by run, machine and backend: what nodes told of their computation besides does not fit on a page. */
function pageMakers({ steps }: ExportedRun): readonly PageMaker[] {
  const makers = new Map<string, PageMaker>();
  for (const { backend, host, node, ranflow, results, run, threads } of computedBy(steps)) {
    const told = (value: unknown): string =>
      typeof value === "string" || typeof value === "number" ? String(value) : "–";
    const maker = { run, host, ranflow, node, backend: told(backend), threads: told(threads) };
    const key = JSON.stringify(maker);
    makers.set(key, { ...maker, results: results + (makers.get(key)?.results ?? 0) });
  }
  return [...makers.values()];
}

function warningsOf({ steps }: ExportedRun, makers: readonly PageMaker[]): readonly string[] {
  const computing = makers.filter(({ backend }) => backend !== "–");
  const mixed = (what: string, of: (maker: PageMaker) => string): readonly string[] => {
    const counts = new Map<string, number>();
    for (const maker of computing) counts.set(of(maker), (counts.get(of(maker)) ?? 0) + maker.results);
    if (counts.size < 2) return [];
    const parts = [...counts].map(([name, count]) => `${name} (${plural(count, "result")})`);
    return [`Results were computed on several ${what}: ${parts.join(", ")}. They agree to rounding only.`];
  };
  const lacking = new Map(
    steps.flatMap(({ key, result, step }) => {
      const lack = result && lackOf(result.provenance);
      return lack ? [[key, `${step}: ${lack.what}.`] as const] : [];
    }),
  );
  const gone = steps.filter(({ result }) => !result).length;
  return [
    ...mixed("backends", ({ backend, threads }) =>
      threads === "–" ? backend : `${backend} with ${plural(Number(threads), "thread")}`,
    ),
    ...mixed("versions of ranflow", ({ ranflow }) => ranflow),
    ...lacking.values(),
    ...(gone > 0
      ? [`${plural(gone, "result")} of this run had been removed from the store by cache gc.`]
      : []),
  ];
}

function environmentFacts(
  { arch, backend, cores, cpu, memory, node, packages, platform, ranflow, threads }: RunEnvironment,
  git: { readonly commit: string; readonly dirty: boolean } | undefined,
): readonly (readonly [string, string])[] {
  return [
    ["ranflow", ranflow],
    ["Node", node],
    ["system", `${platform}, ${arch}`],
    ["processor", `${cpu}, ${plural(cores, "core")}`],
    ["memory", formatBytes(memory)],
    [
      "backend asked for",
      threads === undefined ? backend : `${backend}, ${plural(threads, "thread")} each step`,
    ],
    ...(git
      ? [["git commit", `${git.commit}${git.dirty ? ", with changes not committed" : ""}`] as const]
      : []),
    [
      "packages",
      Object.entries(packages)
        .flatMap(([name, version]) => (version === undefined ? [] : [`${name} ${version}`]))
        .join(", "),
    ],
  ];
}
