import type { Json } from "../model/json.ts";
import type { StepId } from "../model/ids.ts";
import type { FieldChange, Reason } from "../model/plan.ts";
import { unreachable } from "../model/result.ts";
import type { Explanation, HitComparison, KnownResult } from "./explain.ts";
import { nodeOf } from "./step-name.ts";

const stepsNamed = 3;
/** What stands for changes that are not named one by one. */
const counted = /^\d+ more (inputs|files) changed$/;

/** An explanation as plain text, one fact a line, what lies upstream indented below it. No final line break. */
export function formatExplanation(explanation: Explanation): string {
  return lines(explanation, "").join("\n");
}

/** A change and what caused it: `params.epochs 10 -> 30`, with the upstream fields indented below. */
export function formatChange(change: FieldChange, indent = ""): readonly string[] {
  const { field, before, after, because } = change;
  const difference =
    before === undefined
      ? after === undefined
        ? field
        : counted.test(String(after))
          ? `${field}: ${String(after)}`
          : `${field} (new) ${shown(after)}`
      : `${field} ${shown(before)} -> ${after === undefined ? "(gone)" : shown(after)}`;
  if (!because) return [indent + difference];
  if (because.changes.length === 0) {
    return [
      `${indent}${difference}`,
      `${indent}  ${because.step} gave other bytes for the same inputs and parameters`,
    ];
  }
  const causes = formatChanges(because.changes, `${indent}    `);
  return [`${indent}${difference}`, `${indent}  because ${because.step} changed:`, ...causes];
}

/** Changes in their order; those of one collecting port that have the same causes are shown once and counted. */
function formatChanges(changes: readonly FieldChange[], indent: string): readonly string[] {
  const groups = Map.groupBy(changes, (change) => (change.because ? likeness(change) : change.field));
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const rest = group.length - 1;
    const port = first.field.replace(/\[.*$/s, "");
    return [
      ...formatChange(first, indent),
      ...(rest > 0 ? [`${indent}${port}: ${rest} more changed for the same reason`] : []),
    ];
  });
}

/** What a change says, but for the grid points and digests in it. */
export function likeness({ field, before, after, because }: FieldChange): string {
  const value = (json: Json | undefined): Json => (json === undefined || isDigest(json) ? null : json);
  return JSON.stringify([
    field.replace(/\[.*$/s, ""),
    value(before),
    value(after),
    because && [nodeOf(because.step), because.changes.map(likeness)],
  ]);
}

/** A reason in a few words, without its details: what `plan` prints beside a step. */
export function formatReason(reason: Reason): string {
  switch (reason.kind) {
    case "cached":
      return `result of ${formatTime(reason.finishedAt)}`;
    case "first-time":
      return "no result yet";
    case "changed":
      return reason.changes.map((change) => rootCause(change)).join(", ");
    case "forced":
      return "forced";
    case "not-cacheable":
      return "every time (cache: false)";
    case "outputs-missing":
      return `its outputs are gone from the store, and ${reason.neededBy} needs them`;
    case "same-work":
      return `same work as ${reason.as}`;
    case "upstream-runs":
      return `waits for ${listed(reason.steps)}`;
    case "not-scanned":
      return "its data is not yet scanned";
    default:
      return unreachable(reason);
  }
}

function lines(explanation: Explanation, indent: string): readonly string[] {
  const { step, status, reason, ownChanges, lastChanges, comparison, result, upstream } = explanation;
  const inner = `${indent}  `;
  const text = [`${indent}${step}: ${verdict(explanation)}`];
  if (reason.kind === "changed") text.push(...formatChanges(reason.changes, inner));
  if (ownChanges.length > 0) {
    text.push(`${inner}changed in the step itself:`);
    text.push(...formatChanges(ownChanges, `${inner}  `));
  }
  if (result) text.push(`${inner}${provenance(result, status === "hit")}`);
  if (comparison) text.push(...comparisonLines(comparison, lastChanges.length).map((line) => inner + line));
  text.push(...formatChanges(lastChanges, `${inner}  `));
  for (const group of alike(upstream)) text.push(...groupLines(group, inner));
  return text;
}

/** Causes of one node that read alike but for their names: nine heads whose `epochs` changed are said once. */
function alike(causes: readonly Explanation[]): readonly (readonly Explanation[])[] {
  const groups = new Map<string, Explanation[]>();
  for (const cause of causes) {
    const { step, status, reason, ownChanges } = cause;
    const why = reason.kind === "changed" || reason.kind === "not-scanned" ? reason : { kind: reason.kind };
    const alone = cause.upstream.length > 0 || cause.lastChanges.length > 0 ? step : nodeOf(step);
    const read = JSON.stringify([alone, status, why, ownChanges]);
    const group = groups.get(read);
    if (group) group.push(cause);
    else groups.set(read, [cause]);
  }
  return [...groups.values()];
}

function groupLines(group: readonly Explanation[], indent: string): readonly string[] {
  const [first] = group;
  if (!first) return [];
  if (group.length === 1) return lines(first, indent);
  const points = group.map(({ step }) => step.slice(nodeOf(step).length)).slice(0, stepsNamed);
  const rest = group.length - points.length;
  const [heading = "", ...changes] = lines({ ...first, step: nodeOf(first.step) as StepId }, indent).filter(
    (line) => !line.startsWith(`${indent}  last result of`) && !line.startsWith(`${indent}  result of`),
  );
  return [
    heading.replace(":", ` (${group.length} steps):`),
    ...changes,
    `${indent}  in ${points.join(", ")}${rest > 0 ? ` and ${rest} more (--json lists them)` : ""}`,
  ];
}

function comparisonLines({ again, with: other }: HitComparison, changes: number): readonly string[] {
  const lines = again
    ? ["that run executed it again with nothing changed: it was forced, or its bytes were gone"]
    : [];
  switch (other) {
    case "none":
      return lines;
    case "gone":
      return [...lines, "the result before that one was removed by gc: what changed then is not known"];
    case "before":
      return changes > 0 ? [...lines, "what made that result differ from the one before:"] : lines;
    case "last":
      return changes > 0 ? [...lines, "since the step's last result, which is another one:"] : lines;
    default:
      return unreachable(other);
  }
}

function verdict({ comparison, reason, status }: Explanation): string {
  switch (status) {
    case "hit":
      return comparison?.with === "last"
        ? "hit, it is what it was in an earlier run"
        : "hit, nothing that can change its outputs has changed";
    case "rebuild":
      return `rebuild, ${formatReason(reason)}`;
    case "shared":
      return `shared, ${formatReason(reason)}`;
    case "unknown":
      return `not known yet, ${formatReason(reason)}${reason.kind === "not-scanned" ? " (--scan does that)" : ""}`;
    case "run":
      return reason.kind === "changed"
        ? "runs, because these fields changed:"
        : `runs, ${formatReason(reason)}`;
    default:
      return unreachable(status);
  }
}

/** The deepest change behind a change, in one line. */
function rootCause(change: FieldChange): string {
  const first = change.because?.changes[0];
  if (!first || !change.because) return formatChange(change)[0] as string;
  return `${change.field} (${change.because.step}: ${rootCause(first)})`;
}

function provenance({ run, startedAt, finishedAt, host }: KnownResult, isHit: boolean): string {
  const ms = finishedAt - startedAt;
  const took = ms < 100 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
  return `${isHit ? "result" : "last result"} of ${formatTime(finishedAt)}, run ${run} on ${host}, took ${took}`;
}

function listed(steps: readonly string[]): string {
  if (steps.length <= stepsNamed) return steps.join(", ");
  return `${steps.slice(0, stepsNamed).join(", ")} and others`;
}

/** `2026-11-24 03:05 UTC`. */
export function formatTime(at: number): string {
  return new Date(at).toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

/** JSON, with digests cut to where they can still be told apart. */
export function shown(value: Json): string {
  return isDigest(value) ? `${value.slice(0, 15)}..` : JSON.stringify(value);
}

function isDigest(value: Json): value is string {
  return typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
}
