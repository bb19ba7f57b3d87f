import type { Axis, Zip } from "../load/axes.ts";
import type { Point } from "../load/points.ts";

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
