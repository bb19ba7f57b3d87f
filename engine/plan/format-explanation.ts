import type { Json } from "../model/json.ts";
import type { FieldChange, Reason } from "../model/plan.ts";
import { unreachable } from "../model/result.ts";
import type { Explanation, KnownResult } from "./explain.ts";

const stepsNamed = 3;

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
        : `${field} (new) ${shown(after)}`
      : `${field} ${shown(before)} -> ${after === undefined ? "(gone)" : shown(after)}`;
  if (!because) return [indent + difference];
  if (because.changes.length === 0) {
    return [
      `${indent}${difference}`,
      `${indent}  ${because.step} gave other bytes for the same inputs and parameters`,
    ];
  }
  const causes = because.changes.flatMap((cause) => formatChange(cause, `${indent}    `));
  return [`${indent}${difference}`, `${indent}  because ${because.step} changed:`, ...causes];
}

/** A reason in a few words, without its details: what `plan` prints beside a step. */
export function formatReason(reason: Reason): string {
  switch (reason.kind) {
    case "cached":
      return `result of ${time(reason.finishedAt)}`;
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
  const { step, status, reason, ownChanges, lastChanges, result, upstream } = explanation;
  const inner = `${indent}  `;
  const text = [`${indent}${step}: ${verdict(status, reason)}`];
  if (reason.kind === "changed") {
    for (const change of reason.changes) text.push(...formatChange(change, inner));
  }
  if (ownChanges.length > 0) {
    text.push(`${inner}changed in the step itself:`);
    for (const change of ownChanges) text.push(...formatChange(change, `${inner}  `));
  }
  if (result) text.push(`${inner}${provenance(result, status === "hit")}`);
  if (lastChanges.length > 0) {
    text.push(`${inner}what made that result differ from the one before:`);
    for (const change of lastChanges) text.push(...formatChange(change, `${inner}  `));
  }
  for (const above of upstream) text.push(...lines(above, inner));
  return text;
}

function verdict(status: Explanation["status"], reason: Reason): string {
  switch (status) {
    case "hit":
      return "hit, nothing that can change its outputs has changed";
    case "rebuild":
      return `rebuild, ${formatReason(reason)}`;
    case "shared":
      return `shared, ${formatReason(reason)}`;
    case "unknown":
      return `not known yet, ${formatReason(reason)}`;
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
  const seconds = ((finishedAt - startedAt) / 1000).toFixed(1);
  return `${isHit ? "result" : "last result"} of ${time(finishedAt)}, run ${run} on ${host}, took ${seconds} s`;
}

function listed(steps: readonly string[]): string {
  if (steps.length <= stepsNamed) return steps.join(", ");
  return `${steps.slice(0, stepsNamed).join(", ")} and others`;
}

function time(at: number): string {
  return new Date(at).toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

/** JSON, with digests cut to where they can still be told apart. */
function shown(value: Json): string {
  if (typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value)) return `${value.slice(0, 15)}..`;
  return JSON.stringify(value);
}
