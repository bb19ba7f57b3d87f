import { isDeepStrictEqual } from "node:util";
import type { Json } from "../model/json.ts";
import type { Digest } from "../model/ids.ts";
import { nodeOf, pointText } from "./step-name.ts";
import { formatTime, shown } from "./format-explanation.ts";
import type { TracedData } from "./trace-data.ts";
import type { Trace, TracedInput, TracedResult } from "./trace.ts";

export interface TraceTextOptions {
  /** By the digest of the list of files. */
  readonly data: ReadonlyMap<Digest, TracedData>;
  /** Every step by itself, where otherwise those of a node are said together. */
  readonly everyStep: boolean;
}

const valuesNamed = 4;
const namesNamed = 3;
const longestValue = 80;

/** Results from an artifact to its sources as plain text, readers before what they read. */
export function formatTrace(trace: Trace, { data, everyStep }: TraceTextOptions): string {
  const groups = Map.groupBy(trace.results, (traced) => (everyStep ? traced.key : nameOf(traced)));
  const blocks = [...groups.values()].map((group) => groupLines(group, data).join("\n"));
  const beyond =
    trace.beyond > 0
      ? [`${count(trace.beyond, "result")} above these, and what they come from (--depth)`]
      : [];
  return [...blocks, ...beyond].join("\n\n");
}

/** The node of a result, or its type where no step of the run had it. */
function nameOf({ result, steps }: TracedResult): string {
  return steps[0] === undefined ? result.fingerprint.type : nodeOf(steps[0]);
}

function groupLines(
  group: readonly TracedResult[],
  data: ReadonlyMap<Digest, TracedData>,
): readonly string[] {
  const [first] = group;
  if (!first) return [];
  const prints = group.map(({ result }) => result.fingerprint);
  return [
    `${title(group)}  ${distinct(prints.map(({ type, version }) => `${type}@${version}`))}`,
    ...field("made", madeText(group)),
    ...field("with", computeText(group)),
    ...field("key", group.length === 1 ? first.key : ""),
    ...paramLines(group),
    ...field("seed", valuesText(prints.map(({ seed }) => seed))),
    ...field(
      "environment",
      [...new Set(prints.flatMap(({ environment }) => Object.keys(environment ?? {})))].join(", "),
    ),
    ...field("source", sourceText(group)),
    ...inputLines(group),
    ...dataLines(group, data),
  ];
}

function title(group: readonly TracedResult[]): string {
  const [first] = group;
  if (!first) return "";
  if (group.length > 1) return `${nameOf(first)} (${count(group.length, "result")})`;
  const [step, ...others] = first.steps;
  if (step === undefined) return "a result of another run";
  return others.length > 0 ? `${step} (the same work as ${listed(others)})` : step;
}

function madeText(group: readonly TracedResult[]): string {
  const made = group.map(({ result }) => result.provenance);
  const [first] = made;
  if (!first) return "";
  const took = made.reduce((sum, { finishedAt, startedAt }) => sum + finishedAt - startedAt, 0);
  const times = made.map(({ finishedAt }) => finishedAt).toSorted((a, b) => a - b);
  const [from, to] = [times.at(0) ?? 0, times.at(-1) ?? 0].map(formatTime);
  const runs = Map.groupBy(made, ({ runId }) => runId);
  const byRun = [...runs].map(([run, of]) => (runs.size > 1 ? `${run} (${of.length})` : run));
  const when = from === to ? from : `${from} to ${to}`;
  const seconds = took < 100 ? `${took} ms` : `${(took / 1000).toFixed(1)} s`;
  return `${when} in ${seconds}, run ${listed(byRun)}, on ${distinct(made.map(({ host }) => host))}`;
}

function computeText(group: readonly TracedResult[]): string {
  const told = group.map(({ result: { provenance } }) => ({
    ranflow: provenance.ranflow,
    node: provenance.node,
    ...Object.fromEntries(
      Object.entries(provenance.compute ?? {}).filter(([, value]) => typeof value !== "object"),
    ),
  }));
  return fieldsText(told);
}

function paramLines(group: readonly TracedResult[]): readonly string[] {
  return field("params", fieldsText(group.map(({ result }) => result.fingerprint.params)));
}

/** `epochs=10 method=probe | mlp | ran`: each field with the values that it has. */
function fieldsText(records: readonly Readonly<Record<string, Json>>[]): string {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  return names.map((name) => `${name}=${valuesText(records.map((record) => record[name]))}`).join("  ");
}

function valuesText(values: readonly (Json | undefined)[]): string {
  const different: Json[] = [];
  for (const value of values)
    if (value !== undefined && !different.some((known) => isDeepStrictEqual(known, value)))
      different.push(value);
  const texts = different.slice(0, valuesNamed).map((value) => {
    const isPlain = typeof value === "string" && /^[\x20-\x7e\u00a1-\u1fff]*$/.test(value);
    const text = isPlain ? value : JSON.stringify(value);
    return text.length > longestValue ? `${text.slice(0, longestValue)}..` : text;
  });
  const rest = different.length - texts.length;
  return `${texts.join(" | ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function sourceText(group: readonly TracedResult[]): string {
  const files = group.flatMap(({ result }) => Object.entries(result.fingerprint.source?.files ?? {}));
  return listed([...new Set(files.map(([name, digest]) => `${name} ${shown(digest)}`))]);
}

function inputLines(group: readonly TracedResult[]): readonly string[] {
  const ports = Map.groupBy(
    group.flatMap(({ inputs }) => inputs),
    ({ port }) => port,
  );
  return [...ports].flatMap(([port, inputs]) =>
    field(port, `from ${sourcesText(inputs)}${alikeText(inputs)}`),
  );
}

/** Steps that had the same bytes as those that are named: which of them a result was read from, its record does not say. */
function alikeText(inputs: readonly TracedInput[]): string {
  const said = new Set(inputs.map(({ step }) => step));
  const others = new Set(inputs.flatMap(({ alike = [] }) => alike).filter((step) => !said.has(step)));
  if (others.size === 0) return "";
  const named = [...others].slice(0, namesNamed).join(", ");
  return ` (the same bytes: ${named}${others.size > namesNamed ? " and others" : ""})`;
}

function sourcesText(inputs: readonly TracedInput[]): string {
  const nodes = Map.groupBy(inputs, ({ from, step }) =>
    from === undefined ? "" : step === undefined ? "results of other runs" : nodeOf(step),
  );
  return [...nodes]
    .map(([node, of]) => {
      const digests = [...new Set(of.map(({ digest }) => digest))];
      if (node === "")
        return `${listed(digests.map(shown))}, and what made ${digests.length > 1 ? "them" : "it"} is not in the store any more`;
      const points = [...new Set(of.map(({ step = "" }) => pointText(step)))].filter(Boolean);
      if (points.length === 0) return node;
      return points.length === 1 ? `${node}${points[0]}` : `${node} (${points.length}: ${listed(points)})`;
    })
    .join(", ");
}

function dataLines(group: readonly TracedResult[], data: ReadonlyMap<Digest, TracedData>): readonly string[] {
  const lists = new Set(group.map(({ result }) => result.fingerprint.external?.digest));
  return [...lists].flatMap((digest) => {
    const found = digest && data.get(digest);
    return found ? field("data", dataText(found)) : [];
  });
}

function dataText({ dataset, list, lost, missing, roots, there }: TracedData): string {
  const what = `${count(list.count, "file")}${dataset === undefined ? "" : ` of ${dataset}`}`;
  const where = roots.length > 0 ? ` under ${roots.join(" and ")}` : "";
  const state = lost
    ? "the list of their names is not in the store any more"
    : missing.length === 0
      ? "all there"
      : `${there} there, ${missing.length} gone or changed: ${listed(missing)}`;
  return `${what}${where}: ${state} (list ${shown(list.digest)})`;
}

function field(name: string, text: string): readonly string[] {
  return text === "" ? [] : [`  ${name.padEnd(9)} ${text}`];
}

function distinct(texts: readonly string[]): string {
  return listed([...new Set(texts)]);
}

function listed(texts: readonly string[]): string {
  const rest = texts.length - namesNamed;
  return `${texts.slice(0, namesNamed).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
