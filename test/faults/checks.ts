/** What must hold after a kill. */
import { expect } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import type { StepId } from "../../engine/model/ids.ts";
import { itemName } from "./ledger.ts";
import type { LedgerLine } from "./ledger.ts";
import type { StoreView } from "./store-view.ts";

/** Nothing that was finished is lost, no digest is wrong, and the store is sound. */
export function checkView({
  before,
  after,
  reference,
}: {
  readonly before: StoreView;
  readonly after: StoreView;
  readonly reference: StoreView;
}): void {
  expect(after.problems).toEqual([]);
  // What says that shards were made goes when the step has joined them.
  const whole = ({ results }: StoreView): string[] =>
    [...results.keys()].filter((name) => !name.includes("#"));
  expect(
    whole(before).filter((name) => !after.results.has(name)),
    "lost results",
  ).toEqual([]);
  expect(
    [...before.items].filter((item) => !after.items.has(item)),
    "lost items",
  ).toEqual([]);
  for (const name of whole(after)) {
    const { key, outputs } = after.results.get(name) ?? {};
    expect({ key, outputs }, name).toMatchObject({
      key: reference.results.get(name)?.key,
      outputs: reference.results.get(name)?.outputs,
    });
  }
}

/**
 * What was done in a round, by the ledger: nothing that was finished before, and steps with checkpoints go on from
 * there.
 */
export function checkLedger({
  before,
  lines,
}: {
  readonly before: StoreView;
  readonly lines: readonly LedgerLine[];
}): void {
  const done = (did: LedgerLine["did"]): string[] =>
    lines.flatMap((line) =>
      line.did !== did ? [] : [line.did === "made" ? itemName(line.name, line.item) : line.name],
    );
  expect(
    done("ran").filter((name) => before.results.has(name)),
    "finished steps that ran again",
  ).toEqual([]);
  expect(
    done("made").filter((item) => before.items.has(item)),
    "kept items that were made again",
  ).toEqual([]);
  expect(
    done("began").filter((name) => before.results.has(name)),
    "finished steps that began again",
  ).toEqual([]);
  for (const line of lines) {
    if (line.did === "began") {
      expect(line.from, `${line.name} goes on`).toBeGreaterThanOrEqual(
        before.checkpoints.get(line.name) ?? 0,
      );
    }
  }
}

/** Each step that a run says it has executed is in the store, as this run's: no other had finished it before. */
export function checkOwners(events: readonly RunEvent[], { results }: StoreView): void {
  const run = events.find((event) => event.type === "run-started")?.run;
  const owners = new Map([...results.values()].map((result) => [result.key, result.run]));
  for (const event of events) {
    if (event.type !== "step-succeeded" || event.sharedWith !== undefined || event.step.includes("#"))
      continue;
    expect(owners.get(event.key), event.step).toBe(run);
  }
}

/** Steps that waited for another process. */
export function waitsIn(events: readonly RunEvent[]): readonly StepId[] {
  return events.flatMap((event) =>
    event.type === "step-pending" && event.reason.includes("executes it already") ? [event.step] : [],
  );
}

/**
 * The longest time, in ms, from a kill until a step went on that had waited for the killed process. Undefined where none
 * did.
 */
export function takeoverIn(events: readonly RunEvent[], killedAt: number): number | undefined {
  const waited = new Set(waitsIn(events.filter(({ t }) => t <= killedAt)));
  const times: number[] = [];
  for (const event of events) {
    const isOver = event.type === "step-started" || event.type === "step-cached";
    if (!isOver || !waited.has(event.step)) continue;
    waited.delete(event.step);
    if (event.t > killedAt) times.push(event.t - killedAt);
  }
  return times.length === 0 ? undefined : Math.max(...times);
}
