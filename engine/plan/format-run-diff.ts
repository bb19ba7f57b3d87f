import { isDigest } from "../../cache/hash.ts";
import { unreachable } from "../model/result.ts";
import { formatChange, likeness } from "./format-explanation.ts";
import { moreItems } from "./run-diff.ts";
import type { Cause, RunDifference, StepDifference } from "./run-diff.ts";
import { nodeOf, pointText } from "./step-name.ts";

type Changed = Extract<StepDifference, { kind: "changed" }>;

const stepsNamed = 3;
const groupsShown = 6;
const changesShown = 12;

/** What changed between two runs as plain text, node by node; steps of a node that read alike are said once. */
export function formatRunDifference(difference: RunDifference): string {
  return [...counted(difference), ...nodeLines(difference), ...otherLines(difference)].join("\n");
}

function counted({ counts }: RunDifference): readonly string[] {
  const { changed, lost, renamed, same } = counts;
  const differing = changed + lost + renamed + counts["only-before"] + counts["only-after"];
  if (differing === 0)
    return [
      `${same === 1 ? "the only step has an equal key" : `all ${steps(same)} have equal keys`}: nothing that can change a result is different`,
    ];
  const parts = [
    changed + lost > 0 ? `${changed + lost} changed` : "",
    renamed > 0 ? `${renamed} renamed` : "",
    counts["only-before"] > 0 ? `${counts["only-before"]} only in the first` : "",
    counts["only-after"] > 0 ? `${counts["only-after"]} only in the second` : "",
    same > 0 ? `${same} with equal keys` : "none with an equal key",
  ].filter(Boolean);
  return [`${steps(differing + same)}: ${parts.join(", ")}`];
}

function nodeLines({ nodes, steps: all }: RunDifference): readonly string[] {
  const changed = all.filter((step): step is Changed => step.kind === "changed");
  return [...Map.groupBy(changed, ({ step }) => nodeOf(step))].flatMap(([node, of]) => {
    const total = nodes.get(node) ?? of.length;
    const alike = [...Map.groupBy(of, signature).values()];
    // Where each step has values of its own, what they have in common is which fields changed.
    const isOwn = alike.length > groupsShown;
    const groups = isOwn ? [...Map.groupBy(of, fieldsOf).values()] : alike;
    const rest = groups.slice(groupsShown).flat().length;
    return [
      "",
      `${node}${total > 1 ? `: ${of.length} of ${steps(total)}` : ""}`,
      ...groups.slice(0, groupsShown).flatMap((group) => groupLines(group, { total, isOwn })),
      ...(rest > 0 ? [`  and ${steps(rest)} with other changes (--json lists them)`] : []),
    ];
  });
}

function groupLines(
  group: readonly Changed[],
  { isOwn, total }: { readonly isOwn: boolean; readonly total: number },
): readonly string[] {
  const [first] = group;
  if (!first) return [];
  const { causes } = first;
  const { inherited, own } = split(first);
  const rest = own.length - changesShown;
  const indirect = causes.filter(({ node, field }) => node !== nodeOf(first.step) || field === "outputs");
  return [
    ...own.slice(0, changesShown).flatMap((change) => formatChange(change, "  ")),
    ...(rest > 0 ? [`  and ${rest} more fields (--json lists them)`] : []),
    ...(inherited.length > 0
      ? [
          `  ${inherited.join(", ")}${indirect.length > 0 ? ", because of" : ""}`,
          ...indirect.map((cause) => `    ${causeText(cause)}`),
        ]
      : []),
    ...(total > 1 ? [`    in ${whereText(group, isOwn)}`] : []),
  ];
}

function whereText(group: readonly Changed[], isOwn: boolean): string {
  const points = group.map(({ step }) => pointText(step));
  if (!isOwn || points.length === 1) return named(points);
  return `${points[0]}, and in ${steps(points.length - 1)} more the same fields, with other values`;
}

/** The step's own changes, and the ports on which it read what another step changed. */
function split({ changes, step, causes }: Changed): {
  readonly own: Changed["changes"];
  readonly inherited: readonly string[];
} {
  const follows = ({ field, from }: Changed["changes"][number]): boolean =>
    field.startsWith("inputs.") && from?.before !== undefined && from.before === from.after;
  const ports = changes.filter(follows).map(({ field }) => field.replace(/\[.*$/s, ""));
  const inputs = causes.filter((cause) => cause.step === step && cause.field.startsWith("inputs."));
  const own = changes.filter((change) => !follows(change) && !change.field.startsWith("inputs."));
  return {
    own: [...own, ...inputs.map((cause) => ({ field: inputText(cause).join(" ") }))],
    inherited: [...new Set(ports)],
  };
}

function causeText(cause: Cause): string {
  const { node, field } = cause;
  if (field === "outputs") return `${node}: it gave other bytes for the same inputs and parameters`;
  return `${node}: ${(field.startsWith("inputs.") ? inputText(cause) : formatChange(cause)).join(" ")}`;
}

/** An input that is read from another step, a collecting one with more or fewer items, or bytes that nobody made. */
function inputText({ field, before, after }: Cause): readonly string[] {
  if (after === moreItems) return [`${field} has more items`];
  if (before === moreItems) return [`${field} has fewer items`];
  if (typeof before !== "string" || typeof after !== "string" || isDigest(before) || isDigest(after))
    return formatChange({
      field,
      ...(before !== undefined && { before }),
      ...(after !== undefined && { after }),
    });
  return [`${field} is read from ${after} instead of ${before}`];
}

function otherLines({ steps: all }: RunDifference): readonly string[] {
  return (["renamed", "only-before", "only-after", "lost"] as const).flatMap((kind) => {
    const of = all.filter((step) => step.kind === kind);
    if (of.length === 0) return [];
    const groups = Map.groupBy(of, (one) =>
      one.kind === "renamed" ? `${nodeOf(one.was)} -> ${nodeOf(one.step)}` : nodeOf(one.step),
    );
    return [
      "",
      title(kind),
      ...[...groups].map(([name, group]) => {
        const points = group.map(({ step }) => pointText(step)).filter(Boolean);
        const where = points.length > 0 ? `: ${named(points)}` : "";
        return `  ${name}${group.length > 1 ? ` (${steps(group.length)})` : ""}${where}`;
      }),
    ];
  });
}

function title(kind: "renamed" | "only-before" | "only-after" | "lost"): string {
  switch (kind) {
    case "renamed":
      return "the same results under another name:";
    case "only-before":
      return "only in the first:";
    case "only-after":
      return "only in the second:";
    case "lost":
      return "changed, and what they were made from was removed by gc (`ranflow tag` keeps a run's results):";
    default:
      return unreachable(kind);
  }
}

function signature(step: Changed): string {
  const { inherited, own } = split(step);
  const causes = step.causes.map(({ step: _, ...cause }) => [cause.node, likeness(cause)]);
  return JSON.stringify([own.map((change) => likeness(change)), inherited, causes]);
}

function fieldsOf(step: Changed): string {
  const { inherited, own } = split(step);
  const causes = step.causes.map(({ field, node }) => [node, field]);
  return JSON.stringify([own.map(({ field }) => field), inherited, causes]);
}

function named(points: readonly string[]): string {
  const rest = points.length - stepsNamed;
  return `${points.slice(0, stepsNamed).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function steps(count: number): string {
  return `${count} step${count === 1 ? "" : "s"}`;
}
