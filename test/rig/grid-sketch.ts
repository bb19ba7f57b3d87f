/** The rules of expansion (DESIGN section 3) followed point by point: slow and plain, to judge the engine by. */

export interface AxisSketch {
  readonly name: string;
  readonly labels: readonly string[];
  /** Its values are maps `{ weight: index of the label }`. */
  readonly isMap: boolean;
}

/** Axis -> the labels that belong to the point. */
export type PointSketch = Readonly<Record<string, readonly string[]>>;

export interface SourceSketch {
  /** Index of a node before. */
  readonly node: number;
  /** Axis -> label it is pinned to. */
  readonly at: Readonly<Record<string, string>>;
  /** Axes that are gathered; absent for a single artifact. */
  readonly over?: readonly string[];
}

export interface NodeSketch {
  readonly name: string;
  readonly mentions: readonly string[];
  readonly a: SourceSketch | undefined;
  readonly b: SourceSketch | undefined;
  readonly many: SourceSketch | undefined;
  readonly only: readonly PointSketch[];
  readonly except: readonly PointSketch[];
}

export interface PipelineSketch {
  /** With the labels that `axes:` declares; `include` may bring others. */
  readonly axes: readonly AxisSketch[];
  /** Names of axes that advance together. */
  readonly zip: readonly (readonly string[])[];
  readonly exclude: readonly PointSketch[];
  readonly include: readonly PointSketch[];
  readonly nodes: readonly NodeSketch[];
}

type Labels = Readonly<Record<string, string>>;

export interface ExpandedSketch {
  /** Step id -> parameters and inputs. */
  readonly steps: Readonly<Record<string, unknown>>;
  /** What makes the pipeline wrong. */
  readonly problems: readonly string[];
}

/** The id of a step, its axes in the order given. */
export function idOf(node: string, axes: readonly string[], point: Labels): string {
  return axes.length === 0 ? node : `${node}[${axes.map((axis) => `${axis}=${point[axis]}`).join(",")}]`;
}

/** What a record holds under a name; an error where it holds nothing. */
export function at(record: Readonly<Record<string, unknown>>, name: string): unknown {
  if (!Object.hasOwn(record, name))
    throw new Error(`there is no ${name} in ${Object.keys(record).join(", ")}`);
  return record[name];
}

/** Expands a sketch by the rules: for each node a filter over the full product of its axes. */
export function expandSketch(sketch: PipelineSketch): ExpandedSketch {
  const { exclude, include, nodes, zip } = sketch;
  const declared = new Map(sketch.axes.map(({ labels, name }) => [name, labels]));
  const axes = sketch.axes.map((axis) => ({
    ...axis,
    labels: [...new Set([...axis.labels, ...include.flatMap((point) => point[axis.name] ?? [])])],
  }));
  const zipOf = (axis: string): readonly string[] => zip.find((group) => group.includes(axis)) ?? [axis];
  /** Whether labels of a zip's axes are those that the axes have at one place. */
  const isRow = (point: Labels, group: readonly string[], among: PointSketch): boolean =>
    (declared.get(group[0] ?? "") ?? []).some((_, place) =>
      group.every((axis) => {
        const label = declared.get(axis)?.[place] ?? "";
        return (point[axis] ?? label) === label && (among[axis]?.includes(label) ?? true);
      }),
    );
  const isIncluded =
    (own: readonly string[], point: Labels) =>
    (wanted: PointSketch): boolean =>
      own.some((axis) => wanted[axis] !== undefined) &&
      own.every((axis) => {
        const group = zipOf(axis);
        const isWhole = group.every((member) => wanted[member] !== undefined);
        return isWhole ? wanted[axis]?.includes(point[axis] ?? "") : isRow(point, group, wanted);
      });
  const steps: Record<string, unknown> = {};
  const problems: string[] = [];
  const nodeAxes: string[][] = [];
  const inOrder = (names: ReadonlySet<string>): string[] =>
    axes.map(({ name }) => name).filter((name) => names.has(name));
  const points = (names: readonly string[], fixed: Labels): Labels[] =>
    names.reduce<Labels[]>(
      (all, name) =>
        all.flatMap((point) =>
          (fixed[name] === undefined
            ? (axes.find((axis) => axis.name === name)?.labels ?? [])
            : [fixed[name]]
          ).map((label) => ({ ...point, [name]: label })),
        ),
      [{}],
    );
  const matches =
    (own: readonly string[], point: Labels) =>
    (wanted: PointSketch): boolean =>
      Object.entries(wanted).every(
        ([axis, labels]) => own.includes(axis) && labels.includes(point[axis] ?? ""),
      );
  const applies =
    (own: readonly string[]) =>
    (point: PointSketch): boolean =>
      Object.keys(point).every((axis) => own.includes(axis));
  const isLive = (node: number, point: Labels): boolean =>
    Object.hasOwn(steps, idOf(nodes[node]?.name ?? "", nodeAxes[node] ?? [], point));

  for (const node of nodes) {
    const own = new Set(node.mentions);
    for (const source of [node.a, node.b, node.many]) {
      for (const axis of source ? (nodeAxes[source.node] ?? []) : []) {
        const group = zipOf(axis).filter((member) => nodeAxes[source?.node ?? 0]?.includes(member));
        if (!group.some((member) => source?.at[member] !== undefined || source?.over?.includes(member))) {
          own.add(axis);
        }
      }
    }
    const names = inOrder(own);
    nodeAxes.push(names);
    let [candidates, live] = [0, 0];
    for (const point of points(names, {})) {
      const only = node.only.filter(applies(names));
      const inGrid =
        names.every((axis) => isRow(point, zipOf(axis), {})) && !exclude.some(matches(names, point));
      if (!inGrid && !include.some(isIncluded(names, point))) continue;
      if (node.except.some(matches(names, point))) continue;
      if (only.length > 0 && !only.some(matches(names, point))) continue;
      candidates++;
      const inputs: Record<string, unknown> = {};
      const badPins: string[] = [];
      let isTrimmed = false;
      for (const [name, source] of Object.entries({ a: node.a, b: node.b, many: node.many })) {
        if (!source) continue;
        const theirs = nodeAxes[source.node] ?? [];
        const upstream = nodes[source.node]?.name ?? "";
        const taken = theirs.filter((axis) =>
          zipOf(axis).some(
            (member) =>
              theirs.includes(member) && (source.at[member] !== undefined || source.over?.includes(member)),
          ),
        );
        const shared = Object.fromEntries(
          theirs.filter((axis) => !taken.includes(axis)).map((axis) => [axis, point[axis] ?? ""]),
        );
        const found = points(theirs, { ...shared, ...source.at }).filter((theirPoint) =>
          isLive(source.node, theirPoint),
        );
        if (!source.over && found.length > 1) badPins.push(name);
        if (found.length === 0) {
          const elsewhere = points(theirs, shared).some((theirPoint) => isLive(source.node, theirPoint));
          if (!source.over && Object.keys(source.at).length > 0 && elsewhere) badPins.push(name);
          else isTrimmed = true;
        }
        const ids = found.map((theirPoint) => idOf(upstream, theirs, theirPoint));
        const coordinates = (theirPoint: Labels): object =>
          Object.fromEntries(
            taken.flatMap((axis): [string, unknown][] => {
              const sketch = axes.find((candidate) => candidate.name === axis);
              const label = theirPoint[axis] ?? "";
              const field: [string, unknown] = [`${axis}.weight`, sketch?.labels.indexOf(label)];
              return [[axis, label], ...(sketch?.isMap ? [field] : [])];
            }),
          );
        inputs[name] = source.over ? found.map((theirPoint, i) => [ids[i], coordinates(theirPoint)]) : ids[0];
      }
      if (isTrimmed) continue;
      if (badPins.length > 0) {
        problems.push(`${node.name} pins ${badPins.join()} to no step, or to several`);
        continue;
      }
      live++;
      steps[idOf(node.name, names, point)] = {
        params: { text: node.mentions.map((axis) => point[axis]).join(" ") },
        inputs,
      };
    }
    if (candidates > 0 && live === 0) problems.push(`${node.name} has no step left`);
  }
  return { steps, problems };
}
