import { ranflowVersion } from "../../../cache/version.ts";
import { runCommand } from "./command.ts";
import type { Layout } from "./layout.ts";
import type { ExportedRun } from "./exported-run.ts";

interface Contents {
  readonly layout: Layout;
  readonly gone: number;
  readonly metrics: number;
  readonly reports: number;
  readonly reportsGone: number;
}

/** What is what in an exported run, and how to run it again. */
export function readmeText(run: ExportedRun, contents: Contents): string {
  const { manifest, results, steps } = run;
  const { metrics, reports } = contents;
  const title = `# ${results.pipeline}, ${results.label}`;
  const paragraphs = [
    title,
    ...(manifest?.description === undefined ? [] : [manifest.description.trim()]),
    [
      `The ${steps.length} results that this run of the pipeline \`${results.pipeline}\` had when it ended on`,
      `${new Date(results.at).toISOString().slice(0, 10)}, written by ranflow ${ranflowVersion()}.`,
      ...(results.whole ? [] : ["It was a run of a part of the pipeline, or did not come to its end."]),
    ].join("\n"),
    table([
      ...(manifest
        ? [
            [
              "`pipeline/`",
              "the YAML files, and sources of plugins, as they were when the run began",
            ] as const,
          ]
        : []),
      ["`run.json`", "how the pipeline was started, the git commit, the nodes"],
      ["`environment.json`", "machine, programs and packages of the run; what computed the results"],
      ["`metrics.csv`, `metrics.json`", `what steps measured: ${metrics} records`],
      ...(reports > 0 ? [["`results/`", `tables and figures: ${reports}, a folder each`] as const] : []),
      ["`steps.csv`", "every step: node type, seed, key, which run made its result, when, on what"],
      ["`fingerprints/`", "for each step all that can change its result, and digests of its outputs"],
      ...(readsData(run)
        ? [["`data/`", "files from outside that steps read: name in the dataset, SHA-256, size"] as const]
        : []),
    ]),
    'A step\'s key is the SHA-256 of `["ranflow/fingerprint/1", FINGERPRINT]` as canonical JSON (RFC 8785). A digest in\n' +
      "`inputs` is that of an output of another step, which is found by searching for it.",
    ...missing(run, contents),
    ...again(run, contents.layout),
  ];
  return `${paragraphs.join("\n\n")}\n`;
}

function readsData({ steps }: ExportedRun): boolean {
  return steps.some(({ result }) => result?.fingerprint.external !== undefined);
}

function missing({ manifest }: ExportedRun, { gone, reportsGone }: Contents): readonly string[] {
  return [
    ...(manifest ? [] : ["The pipeline's files are not here: the store has no record of how the run began."]),
    ...(gone > 0
      ? [`${gone} results had been removed from the store by \`ranflow cache gc\`; only their keys are here.`]
      : []),
    ...(reportsGone > 0 ? [`The files of ${reportsGone} tables or figures had been removed as well.`] : []),
  ];
}

function again(run: ExportedRun, layout: Layout): readonly string[] {
  const { manifest } = run;
  const [main] = manifest?.files ?? [];
  if (!manifest || !main) return [];
  const command = runCommand(manifest.invocation, `pipeline/${layout.get(main.path)}`);
  const elsewhere = [...layout.values()].some((name) => name.startsWith("elsewhere/"));
  const { commit, dirty } = manifest.git ?? {};
  return [
    "## Run it again",
    `With ranflow ${manifest.environment.ranflow}, in this folder:`,
    `\`\`\`sh\n${command}\n\`\`\``,
    ...(readsData(run)
      ? ["Paths of data are those of the machine it ran on; `data/` says which files are to be found there."]
      : []),
    ...(elsewhere
      ? ["Files under `pipeline/elsewhere/` were named by a path in full: change what imports them."]
      : []),
    ...(commit === undefined
      ? []
      : [
          `The pipeline's folder was at git commit \`${commit}\`${dirty ? ", with changes that were not committed" : ""}.`,
        ]),
  ];
}

function table(rows: readonly (readonly [string, string])[]): string {
  return ["| here | what it is |", "| --- | --- |", ...rows.map((cells) => `| ${cells.join(" | ")} |`)].join(
    "\n",
  );
}
