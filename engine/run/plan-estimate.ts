import type { Store } from "../../cache/types.ts";
import type { Grid, Step } from "../model/grid.ts";
import type { JsonObject } from "../model/json.ts";
import { fingerprintParams, needsScan } from "../plan/fingerprint.ts";
import type { NodeEstimate, PlanEstimate } from "../model/plan.ts";
import type { Planner } from "../plan/types.ts";
import type { StepGrowth, StepWork } from "../sdk.ts";
import { paramTexts, recordsOf } from "./records.ts";
import type { StepRecord } from "./records.ts";
import { remainingTimes } from "./remaining.ts";

/** What one step is expected to take; NaN where that cannot be told. */
interface Expected {
  readonly milliseconds: number;
  /** By output port. */
  readonly bytes: Readonly<Record<string, number>>;
  readonly stored: number;
  readonly stretch: number;
}

/** So many of the records that are most alike decide, by their median. */
const recordsUsed = 5;

/**
 * Tells from the store's results what a plan will take: the time and bytes of steps of the same type that are most alike,
 * times what the type says these grow with. Sizes of what is not made yet follow step by step.
 */
export function estimatePlan({
  grid,
  planner,
  store,
}: {
  readonly grid: Grid;
  readonly planner: Planner;
  readonly store: Store;
}): PlanEstimate {
  const executes = grid.steps.map(({ index, shard }) => {
    const { status } = planner.planned(index);
    return !shard && status !== "hit" && status !== "shared";
  });
  const types = new Set(grid.steps.flatMap(({ index, nodeType }) => (executes[index] ? nodeType.type : [])));
  const records = types.size > 0 ? recordsOf(store, types) : new Map<string, readonly StepRecord[]>();
  const indexOf = new Map(grid.steps.map(({ id, index }) => [id, index]));
  const written: (Readonly<Record<string, number>> | undefined)[] = [];
  const expected: (Expected | undefined)[] = [];

  for (const step of grid.steps) {
    const { index } = step;
    const outputs = planner.outputs(index);
    const { reason } = planner.planned(index);
    if (outputs) {
      written[index] = Object.fromEntries(Object.entries(outputs).map(([port, { size }]) => [port, size]));
    } else if (reason.kind === "same-work") {
      written[index] = written[indexOf.get(reason.as) ?? -1];
    }
    if (!executes[index]) continue;
    const sizes = inputSizes(step, (upstream, port) => written[upstream]?.[port] ?? Number.NaN);
    const told = expectedOf(step, sizes, records.get(step.nodeType.type) ?? []);
    expected[index] = told;
    written[index] ??= told.bytes;
  }

  const nodes = grid.nodes.flatMap(({ name, steps, type }): NodeEstimate[] => {
    const own = steps.flatMap((index) => expected[index] ?? []);
    if (own.length === 0) return [];
    const times = own.map(({ milliseconds }) => milliseconds);
    const spaces = own.map(spaceOf);
    return [
      {
        node: name,
        type,
        steps: own.length,
        milliseconds: sumOfKnown(times),
        bytes: sumOfKnown(spaces),
        unknown: { time: countUnknown(times), space: countUnknown(spaces) },
        records: records.get(type)?.length ?? 0,
        stretch: own.reduce(
          (most, { stretch }) => (Number.isFinite(stretch) ? Math.max(most, stretch) : most),
          1,
        ),
      },
    ];
  });
  const remaining = remainingTimes(grid, (index) => known(expected[index]?.milliseconds ?? 0));
  return {
    milliseconds: sumOfKnown(nodes.map(({ milliseconds }) => milliseconds)),
    longestPath: remaining.reduce((longest, path) => Math.max(longest, path), 0),
    bytes: sumOfKnown(nodes.map(({ bytes }) => bytes)),
    nodes,
  };
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const known = (value: number): number => (Number.isNaN(value) ? 0 : value);
const sumOfKnown = (values: readonly number[]): number => sumOf(values.map(known));
const countUnknown = (values: readonly number[]): number => values.filter(Number.isNaN).length;

function spaceOf({ bytes, stored }: Expected): number {
  return stored + sumOf(Object.values(bytes));
}

/** Bytes that a step reads on each input that it reads. */
function inputSizes(
  step: Step,
  sizeOf: (upstream: number, port: string) => number,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    step.reads.map((name) => {
      const input = step.inputs[name];
      const parts = input?.kind === "one" ? [input] : (input?.items ?? []);
      return [name, sumOf(parts.map((part) => sizeOf(part.step, part.port)))];
    }),
  );
}

type Grows = ((work: StepWork<never>) => number) | undefined;

function growthAt(
  grows: Grows,
  at: {
    readonly params: JsonObject;
    readonly inputs: Readonly<Record<string, number>>;
    readonly written: number;
  },
): number {
  const { inputs, params, written } = at;
  return grows?.({ params: params as never, bytes: (input) => inputs[input] ?? 0, written }) ?? 1;
}

function expectedOf(
  step: Step,
  inputs: Readonly<Record<string, number>>,
  records: readonly StepRecord[],
): Expected {
  const { params } = step;
  const { growth, outputs } = step.nodeType;
  const ports = Object.keys(outputs);
  const published = growth?.published?.(params as never);
  // What a folder holds that nobody has read yet is not what another one held.
  const unread = published === undefined && step.reads.length === 0 && needsScan(step);
  const alike = unread ? [] : mostAlike(step, records, growth);
  const space = (of: (record: StepRecord) => number): Told =>
    told(alike, of, (record) => growthAt(growth?.space, record ?? { params, inputs, written: Number.NaN }));

  const bytes = Object.fromEntries(
    ports.map((port): [string, number] => [
      port,
      published === undefined ? space((record) => record.bytes[port] ?? 0).value : published / ports.length,
    ]),
  );
  const written = sumOf(Object.values(bytes));
  const time = told(
    alike,
    ({ milliseconds }) => milliseconds,
    (record) => growthAt(growth?.time, record ?? { params, inputs, written }),
  );
  return {
    milliseconds: time.value,
    bytes,
    stored: published === undefined ? space(({ stored }) => stored).value : 0,
    stretch: time.stretch,
  };
}

/** Records of the step's kind, those first that share most of its parameters. */
function mostAlike(
  { nodeType, params }: Step,
  records: readonly StepRecord[],
  growth: StepGrowth<never> | undefined,
): readonly StepRecord[] {
  const kind = growth?.kind?.(params as never);
  const comparable = records.filter((record) => growth?.kind?.(record.params as never) === kind);
  const own = paramTexts(fingerprintParams(nodeType, params));
  const differing = ({ texts }: StepRecord): number => {
    let count = 0;
    for (const [name, text] of own) if (texts.get(name) !== text) count++;
    for (const name of texts.keys()) if (!own.has(name)) count++;
    return count;
  };
  const counted = comparable.map((record) => ({ record, count: differing(record) }));
  const least = Math.min(...counted.map(({ count }) => count));
  return counted.flatMap(({ count, record }) => (count === least ? record : []));
}

interface Told {
  /** NaN where nothing like it was recorded, or there is no telling how much larger it is. */
  readonly value: number;
  readonly stretch: number;
}

/** The median rate of the records that are nearest in size, times the step's size. `size` is the step's own without a record. */
function told(
  records: readonly StepRecord[],
  of: (record: StepRecord) => number | undefined,
  size: (record?: StepRecord) => number,
): Told {
  const own = size();
  if (own === 0) return { value: 0, stretch: 1 };
  const rates = records
    .flatMap((record) => {
      const value = of(record);
      const ratio = own / size(record);
      return value === undefined || !(ratio > 0) || !Number.isFinite(ratio) ? [] : { ratio, value };
    })
    .toSorted((a, b) => Math.abs(Math.log(a.ratio)) - Math.abs(Math.log(b.ratio)))
    .slice(0, recordsUsed);
  const values = rates.map(({ ratio, value }) => ratio * value).toSorted((a, b) => a - b);
  return {
    value: values[Math.floor(values.length / 2)] ?? Number.NaN,
    stretch: rates[0]?.ratio ?? Number.NaN,
  };
}
