import type { SourceFile } from "../model/source.ts";
import type { Axis } from "../load/axes.ts";
import { axesMentioned } from "../load/interpolation.ts";
import type { GridRules } from "../load/grid-rules.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";
import { layoutOf, pointTests, setLabels } from "./layout.ts";
import { checkRequired, stepParams } from "./step-params.ts";
import { stepSettings } from "./step-settings.ts";
import { gridTrimming } from "./trimming.ts";

/** Combinations of labels to look at before it is enough: this is a check of a pipeline that is wrong already. */
const enough = 10_000;

/**
 * Checks a node's parameters and settings without expanding the grid, for bindings that are wrong make that impossible, or the
 * node is left out: at every combination of the axes that they mention and that trimming by these axes leaves. What a
 * node that is left out lacks may come with what has it read.
 */
export function checkUnexpanded(
  spec: NodeSpec,
  options: {
    readonly axes: ReadonlyMap<string, Axis>;
    readonly rules: GridRules;
    readonly baseOf: (file: SourceFile) => string;
    readonly report: Report;
    readonly isLeftOut?: boolean;
  },
): void {
  const mentioned = new Set(
    axesMentioned([...(spec.with ? [spec.with] : []), ...spec.settings.values()], spec.scope),
  );
  const layout = layoutOf([...options.axes.values()].filter(({ name }) => mentioned.has(name)));
  const grid = gridTrimming(layout, options.rules);
  const unwanted = pointTests(layout, spec.except);
  const decidable = spec.only.filter(({ labels }) => [...labels.keys()].every((axis) => mentioned.has(axis)));
  const wanted = pointTests(layout, decidable.length === spec.only.length ? decidable : []);
  const bound = new Set(spec.ports.map(({ name }) => name));
  const labels = layout.axes.map(() => 0);
  for (let point = 0; point < Math.min(layout.size, enough); point++) {
    setLabels(layout, point, labels);
    if (!grid.keeps(point, labels)) continue;
    if (unwanted.some((test) => test(labels))) continue;
    if (wanted.length > 0 && !wanted.some((test) => test(labels))) continue;
    const labelOf = (axis: string): number => labels[layout.positionOf.get(axis) ?? -1] ?? 0;
    stepSettings(spec, labelOf, options);
    const params = stepParams(spec, labelOf, options);
    if (!options.isLeftOut) checkRequired(spec, params, (input) => bound.has(input), options.report);
  }
}
