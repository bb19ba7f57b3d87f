import type { Coordinates } from "../model/artifact.ts";
import type { Scalar } from "../model/json.ts";
import type { Axis, Zip } from "../load/axes.ts";
import type { Binding } from "../load/bindings.ts";
import { nameWithin } from "../load/namespace.ts";
import type { Point } from "../load/points.ts";
import { takenAxes } from "./infer.ts";

/** The label of each of a node's axes at a grid point, by position of the axis. */
export type Labels = readonly number[];

/** An axis, or the axes of one zip that a node has: they advance together, row by row. */
export interface Dimension {
  readonly zip: Zip | undefined;
  /** Positions of its axes in the layout. */
  readonly positions: readonly number[];
  /** Labels of these axes at each row. */
  readonly rows: readonly Labels[];
  /** Distance in point numbers between neighbouring rows. */
  readonly stride: number;
  /** Of a row of the whole zip, or else of a label: the row here. */
  rowOf(whole: number): number;
  /** The row that labels, given by position of the axis, belong to; undefined where there is none. */
  rowAt(label: (position: number) => number): number | undefined;
  /** False for a row that only `grid.include` brings. */
  isDeclared(row: number): boolean;
}

/** A node's full grid, before trimming: point numbers count with the last dimension fastest. */
export interface Layout {
  readonly axes: readonly Axis[];
  /** In the order of their first axes. */
  readonly dimensions: readonly Dimension[];
  /** Number of points. */
  readonly size: number;
  /** Position of each axis by name. */
  readonly positionOf: ReadonlyMap<string, number>;
}

/** Lays out the grid over a node's axes. */
export function layoutOf(axes: readonly Axis[]): Layout {
  const groups = new Map<Axis | Zip, number[]>();
  axes.forEach((axis, position) => {
    const group = axis.zip ?? axis;
    const positions = groups.get(group);
    if (positions) positions.push(position);
    else groups.set(group, [position]);
  });
  const dimensions: Dimension[] = [];
  let size = 1;
  for (const positions of [...groups.values()].toReversed()) {
    const dimension = dimensionOf(axes, positions, size);
    dimensions.unshift(dimension);
    size *= dimension.rows.length;
  }
  return {
    axes,
    dimensions,
    size,
    positionOf: new Map(axes.map(({ name }, position) => [name, position])),
  };
}

function dimensionOf(axes: readonly Axis[], positions: readonly number[], stride: number): Dimension {
  const members = positions.flatMap((position) => axes[position] ?? []);
  const zip = members[0]?.zip;
  const [only = 0] = positions;
  if (!zip) {
    const { declared = 0, labels = [] } = members[0] ?? {};
    return {
      zip,
      positions,
      rows: labels.map((_, label) => [label]),
      stride,
      rowOf: (label) => label,
      rowAt: (label) => label(only),
      isDeclared: (row) => row < declared,
    };
  }
  const columns = members.map((axis) => zip.axes.indexOf(axis));
  const rows: Labels[] = [];
  const known = new Map<string, number>();
  // Of a zip that a node has only some axes of, rows that differ in the others alone are one.
  const rowOf = zip.rows.map((whole) => {
    const row = columns.map((column) => whole[column] ?? 0);
    const key = row.join();
    const found = known.get(key) ?? rows.push(row) - 1;
    known.set(key, found);
    return found;
  });
  const declared = new Set(rowOf.slice(0, zip.declared));
  return {
    zip,
    positions,
    rows,
    stride,
    rowOf: (whole) => rowOf[whole] ?? 0,
    rowAt: (label) => known.get(positions.map(label).join()),
    isDeclared: (row) => declared.has(row),
  };
}

/** Writes the labels of a point, by its number, into a list. */
export function setLabels({ dimensions }: Layout, point: number, labels: number[]): void {
  for (const { positions, rows, stride } of dimensions) {
    const row = rows[Math.floor(point / stride) % rows.length] ?? [];
    for (let i = 0; i < positions.length; i++) labels[positions[i] ?? 0] = row[i] ?? 0;
  }
}

/** Numbers the labels of some of a node's axes, to look up what depends on these alone. */
export function subsetKey(layout: Layout, names: readonly string[]): (labels: Labels) => number {
  const positions = names.flatMap((name) => layout.positionOf.get(name) ?? []);
  const sizes = positions.map((position) => layout.axes[position]?.labels.length ?? 1);
  return (labels) => {
    let key = 0;
    for (let i = 0; i < positions.length; i++) key = key * (sizes[i] ?? 1) + (labels[positions[i] ?? 0] ?? 0);
    return key;
  };
}

/** A test of whether a point belongs to one of these; points that name an axis the node lacks are left out. */
export function pointTests(layout: Layout, points: readonly Point[]): ((labels: Labels) => boolean)[] {
  return points.flatMap(({ labels }) => {
    const wanted = [...labels].map(([axis, set]) => ({ position: layout.positionOf.get(axis), set }));
    if (wanted.some(({ position }) => position === undefined)) return [];
    return (at: Labels) => wanted.every(({ position, set }) => set.has(at[position ?? 0] ?? 0));
  });
}

/** A binding as arithmetic on point numbers of its upstream node. */
export interface Route {
  readonly binding: Binding;
  /** Point number of the upstream step that agrees with these labels, at the first label of gathered axes. */
  base(labels: Labels): number;
  /** For a `collect`: what to add to the base for each artifact, in order, and its coordinates. One of 0 otherwise. */
  readonly offsets: readonly number[];
  readonly coordinates: readonly Coordinates[];
  /** For an `at`: what to add to the base to get from the pinned labels to all others. */
  readonly siblings: readonly number[];
}

/**
 * Works out how steps of a node find their upstream steps.
 *
 * @param namespace of the reader: coordinates have the names that it gives to axes
 */
export function routeOf(binding: Binding, reader: Layout, upstream: Layout, namespace: string): Route {
  const taken = takenAxes(binding, upstream.axes);
  const isTaken = ({ positions }: Dimension): boolean =>
    positions.some((position) => taken.some((axis) => axis === upstream.axes[position]));
  const own = upstream.axes.map(({ name }) => reader.positionOf.get(name) ?? 0);
  const shared = upstream.dimensions.filter((dimension) => !isTaken(dimension));
  const isPinned = ({ positions }: Dimension): boolean =>
    positions.some((position) => binding.at.has(upstream.axes[position]?.name ?? ""));
  const pinnedRow = (dimension: Dimension): number | undefined => {
    const row = dimension.rows.findIndex((labels) =>
      dimension.positions.every((position, i) => {
        const pin = binding.at.get(upstream.axes[position]?.name ?? "");
        return pin === undefined || pin === labels[i];
      }),
    );
    return row < 0 ? undefined : row;
  };
  const gathered = combinations(upstream, isTaken, namespace, (dimension) =>
    isPinned(dimension) ? [pinnedRow(dimension)].filter((row) => row !== undefined) : undefined,
  );
  const siblings = binding.at.size > 0 ? combinations(upstream, isPinned, namespace, () => undefined) : [];
  return {
    binding,
    base: (labels) => {
      let sum = 0;
      for (const { rowAt, stride } of shared) {
        sum += (rowAt((position) => labels[own[position] ?? 0] ?? 0) ?? 0) * stride;
      }
      return sum;
    },
    offsets: gathered.map(({ offset }) => offset),
    coordinates: gathered.map(({ coordinates }) => coordinates),
    siblings: siblings.map(({ offset }) => offset),
  };
}

/**
 * All combinations of rows of some dimensions, last one fastest.
 *
 * @param rowsOf the rows to take of a dimension; undefined for all
 */
function combinations(
  layout: Layout,
  isWanted: (dimension: Dimension) => boolean,
  namespace: string,
  rowsOf: (dimension: Dimension) => readonly number[] | undefined,
): { offset: number; coordinates: Coordinates }[] {
  let result: { offset: number; coordinates: Record<string, Scalar> }[] = [{ offset: 0, coordinates: {} }];
  for (const dimension of layout.dimensions.filter(isWanted)) {
    const rows = rowsOf(dimension) ?? dimension.rows.map((_, row) => row);
    const steps = rows.map((row) => ({
      offset: row * dimension.stride,
      coordinates: coordinatesOf(layout, dimension, row, namespace),
    }));
    result = result.flatMap(({ offset, coordinates }) =>
      steps.map((step) => ({
        offset: offset + step.offset,
        coordinates: { ...coordinates, ...step.coordinates },
      })),
    );
  }
  return result;
}

function coordinatesOf(
  { axes }: Layout,
  { positions, rows }: Dimension,
  row: number,
  namespace: string,
): Coordinates {
  const coordinates: Record<string, Scalar> = {};
  positions.forEach((position, i) => {
    const axis = axes[position];
    const label = rows[row]?.[i] ?? 0;
    if (!axis) return;
    coordinates[nameWithin(namespace, axis.name)] = axis.labels[label] ?? "";
    for (const [name, value] of axis.fields[label] ?? []) coordinates[nameWithin(namespace, name)] = value;
  });
  return coordinates;
}
