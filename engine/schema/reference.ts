import { portSummary } from "../sdk.ts";
import type { NodeType, Port } from "../sdk.ts";
import { describeParams } from "./describe-params.ts";
import type { ParamDescription } from "./describe-params.ts";

/** The reference of a node type as Markdown: what it does, its ports, its parameters. */
export function nodeReference(nodeType: NodeType): string {
  const { details, inputs, outputs, plugin, summary, type, version } = nodeType;
  const facts = [
    `Version ${version}`,
    ...(nodeType.seeded ? [nodeType.seeded === true ? "uses the seed" : "uses the seed where told to"] : []),
    ...(nodeType.scan ? ["reads external files"] : []),
    ...(plugin ? [`of the plugin ${plugin.path}`] : []),
  ];
  const params = describeParams(nodeType).map(paramRow);
  return [
    `## \`${type}\``,
    `${summary}.`,
    ...(details === undefined ? [] : [details.trim()]),
    `${facts.join(", ")}.`,
    ...section("Inputs", ["input", "type", "description"], portRows(inputs)),
    ...section("Outputs", ["output", "type", "description"], portRows(outputs)),
    ...section("Parameters", ["parameter", "type", "unit", "default", "description"], params),
  ].join("\n\n");
}

/** Node types as a Markdown table. */
export function nodeIndex(types: readonly NodeType[]): string {
  const names = (ports: Readonly<Record<string, Port>>): string => Object.keys(ports).join(", ");
  return table(
    ["node type", "reads", "makes", "what it does"],
    types.map(({ inputs, outputs, ports, summary, type }) => [
      `\`${type}\``,
      ports ? "*its own*" : names(inputs),
      ports ? "*its own*" : names(outputs),
      summary,
    ]),
  );
}

function section(title: string, head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return rows.length === 0 ? [] : [`### ${title}`, table(head, rows)];
}

function portRows(ports: Readonly<Record<string, Port>>): string[][] {
  return Object.entries(ports).map(([name, port]) => {
    const { many, optional, type } = port;
    const remarks = [...(optional ? ["optional"] : []), ...(many ? ["takes many"] : [])].join(", ");
    return [`\`${name}\``, `${type}${remarks === "" ? "" : ` (${remarks})`}`, portSummary(port)];
  });
}

function paramRow({ meta, name, required, type, default: fallback }: ParamDescription): string[] {
  const about = [
    ...(meta.description === undefined ? [] : [`${meta.description.replace(/\.$/, "")}.`]),
    ...(meta.path ? ["A path, relative to the pipeline's file."] : []),
    ...(meta.secretEnv ? ["The name of an environment variable that holds the secret."] : []),
    ...(meta.ephemeral || meta.secretEnv ? ["Does not change results."] : []),
  ];
  const value = fallback === undefined ? (required ? "*required*" : "") : `\`${JSON.stringify(fallback)}\``;
  return [`\`${name}\``, type, meta.unit ?? "", value, about.join(" ")];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replace(/\s*\n\s*/g, " ");
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
