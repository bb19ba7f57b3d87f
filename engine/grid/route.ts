import type { Coordinates } from "../model/artifact.ts";
import type { Scalar } from "../model/json.ts";
import type { Binding } from "../load/bindings.ts";
import type { Dimension, Labels, Layout } from "./layout.ts";
import { coordinateNames, takenAxes } from "./taken-axes.ts";
import type { CoordinateNames } from "./taken-axes.ts";

/** A binding as arithmetic on point numbers of its upstream node. */
export interface Route {
  readonly binding: Binding;
  /** Point number of the upstream step that agrees with these labels, at the first label of gathered axes. */
  base(labels: Labels): number;
  /**
   * What to add to the base for each artifact of a `collect`, in order, and its coordinates. Otherwise of each step that
   * may be meant: 0, or several where an `at` leaves axes of a zip open.
   */
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
  const naming = coordinateNames(binding, namespace);
  const taken = takenAxes(binding, upstream.axes);
  const isTaken = ({ positions }: Dimension): boolean =>
    positions.some((position) => taken.some((axis) => axis === upstream.axes[position]));
  const own = upstream.axes.map(({ name }) => reader.positionOf.get(name) ?? 0);
  const shared = upstream.dimensions.filter((dimension) => !isTaken(dimension));
  const axes = shared.filter(({ zip }) => !zip);
  // Asked at every point of the grid: an axis by itself needs no look-up of its row.
  const positions = Int32Array.from(axes, (dimension) => own[dimension.positions[0] ?? 0] ?? 0);
  const strides = Float64Array.from(axes, ({ stride }) => stride);
  const zips = shared.filter(({ zip }) => zip);
  const isPinned = ({ positions }: Dimension): boolean =>
    positions.some((position) => binding.at.has(upstream.axes[position]?.name ?? ""));
  // Of a zip that is pinned by some of its axes, `grid.include` may have brought several such rows.
  const pinnedRows = ({ positions, rows }: Dimension): readonly number[] =>
    rows.flatMap((labels, row) => {
      const isMeant = positions.every((position, i) => {
        const pin = binding.at.get(upstream.axes[position]?.name ?? "");
        return pin === undefined || pin === labels[i];
      });
      return isMeant ? row : [];
    });
  const gathered = combinations(upstream, isTaken, naming, (dimension) =>
    isPinned(dimension) ? pinnedRows(dimension) : undefined,
  );
  const siblings = binding.at.size > 0 ? combinations(upstream, isPinned, naming, () => undefined) : [];
  return {
    binding,
    base: (labels) => {
      let sum = 0;
      for (let i = 0; i < positions.length; i++) sum += (labels[positions[i] ?? 0] ?? 0) * (strides[i] ?? 0);
      for (const { rowAt, stride } of zips) {
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
  naming: CoordinateNames,
  rowsOf: (dimension: Dimension) => readonly number[] | undefined,
): { offset: number; coordinates: Coordinates }[] {
  let result: { offset: number; coordinates: Record<string, Scalar> }[] = [{ offset: 0, coordinates: {} }];
  for (const dimension of layout.dimensions.filter(isWanted)) {
    const rows = rowsOf(dimension) ?? dimension.rows.map((_, row) => row);
    const steps = rows.map((row) => ({
      offset: row * dimension.stride,
      coordinates: coordinatesOf(layout, dimension, row, naming),
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
  naming: CoordinateNames,
): Coordinates {
  const coordinates: Record<string, Scalar> = {};
  positions.forEach((position, i) => {
    const axis = axes[position];
    const label = rows[row]?.[i] ?? 0;
    if (!axis) return;
    coordinates[naming(axis, axis.name)] = axis.labels[label] ?? "";
    for (const [name, value] of axis.fields[label] ?? []) coordinates[naming(axis, name)] = value;
  });
  return coordinates;
}
