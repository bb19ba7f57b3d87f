import type { Axis } from "../load/axes.ts";
import type { Binding } from "../load/bindings.ts";
import { nameWithin } from "../load/namespace.ts";

/**
 * The axes that `at` and `over` take away from a binding's upstream steps, in declaration order: those that they name,
 * and those that advance together with these.
 */
export function takenAxes({ at, over }: Binding, upstream: readonly Axis[]): readonly Axis[] {
  if (over === "all") return upstream;
  const isNamed = ({ name }: Axis): boolean =>
    at.has(name) || (over?.some((gathered) => gathered.axis === name) ?? false);
  const zips = new Set(upstream.filter(isNamed).flatMap(({ zip }) => zip ?? []));
  return upstream.filter((axis) => isNamed(axis) || (axis.zip && zips.has(axis.zip)));
}

/** The name that an axis, or a field of it, has in coordinates. */
export type CoordinateNames = (axis: Axis, name: string) => string;

/** What a binding calls axes in coordinates: what `as` says, else what the reader's pipeline calls them. */
export function coordinateNames({ names }: Binding, namespace: string): CoordinateNames {
  return (axis, name) => {
    const given = names?.get(axis.name);
    return given === undefined ? nameWithin(namespace, name) : given + name.slice(axis.name.length);
  };
}
