import type { Coordinates } from "../model/artifact.ts";
import type { Scalar } from "../model/json.ts";
import type { Axis } from "../load/axes.ts";
import type { Binding } from "../load/bindings.ts";
import type { Point } from "../load/points.ts";
import { takenAxes } from "./infer.ts";

/** The label of each of a node's axes at a grid point, by position of the axis. */
export type Labels = readonly number[];

/** A node's full grid, before trimming: point numbers count with the last axis fastest. */
export interface Layout {
  readonly axes: readonly Axis[];
  /** Distance in point numbers between neighbouring labels of each axis. */
  readonly strides: readonly number[];
  /** Number of points. */
  readonly size: number;
  /** Position of each axis by name. */
  readonly positionOf: ReadonlyMap<string, number>;
}

/** Lays out the grid over a node's axes. */
export function layoutOf(axes: readonly Axis[]): Layout {
  const strides: number[] = [];
  let size = 1;
  for (const axis of axes.toReversed()) {
    strides.unshift(size);
    size *= axis.labels.length;
  }
  return { axes, strides, size, positionOf: new Map(axes.map(({ name }, position) => [name, position])) };
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

/** Works out how steps of a node find their upstream steps. */
export function routeOf(binding: Binding, reader: Layout, upstream: Layout): Route {
  const names = upstream.axes.map(({ name }) => name);
  const taken = takenAxes(binding, names);
  const shared = names.flatMap((name, i) =>
    taken.includes(name)
      ? []
      : { position: reader.positionOf.get(name) ?? 0, stride: upstream.strides[i] ?? 0 },
  );
  const pinned = upstream.axes.reduce(
    (sum, { name }, i) => sum + (binding.at.get(name) ?? 0) * (upstream.strides[i] ?? 0),
    0,
  );
  const gathered = combinations(upstream, taken, (name) => binding.at.get(name));
  const siblings =
    binding.at.size > 0
      ? combinations(
          upstream,
          names.filter((name) => binding.at.has(name)),
          () => undefined,
        )
      : [];
  return {
    binding,
    base: (labels) => {
      let sum = pinned;
      for (const { position, stride } of shared) sum += (labels[position] ?? 0) * stride;
      return sum;
    },
    offsets: gathered.map(({ offset }) => offset - pinned),
    coordinates: gathered.map(({ coordinates }) => coordinates),
    siblings: siblings.map(({ offset }) => offset - pinned),
  };
}

/** All combinations of labels of some axes, last axis fastest; a pinned axis has its one label. */
function combinations(
  layout: Layout,
  names: readonly string[],
  pinned: (axis: string) => number | undefined,
): { offset: number; coordinates: Coordinates }[] {
  let result: { offset: number; coordinates: Record<string, Scalar> }[] = [{ offset: 0, coordinates: {} }];
  layout.axes.forEach((axis, i) => {
    if (!names.includes(axis.name)) return;
    const pin = pinned(axis.name);
    const labels = pin === undefined ? axis.labels.map((_, label) => label) : [pin];
    result = result.flatMap(({ offset, coordinates }) =>
      labels.map((label) => ({
        offset: offset + label * (layout.strides[i] ?? 0),
        coordinates: {
          ...coordinates,
          [axis.name]: axis.labels[label] ?? "",
          ...Object.fromEntries(axis.fields[label] ?? []),
        },
      })),
    );
  });
  return result;
}
