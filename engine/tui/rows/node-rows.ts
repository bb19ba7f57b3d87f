import { finished } from "../../model/run-state.ts";
import type { NodeState } from "../../model/run-state.ts";
import { formatCount } from "../../report/format.ts";
import { nodeColumns, stripHeights, windowOf } from "../layout.ts";
import type { NodeColumns, PaneSize } from "../layout.ts";
import { cellColors } from "../look.ts";
import type { CellKind, Look } from "../look.ts";
import { justified, plain, spansWidth } from "../spans.ts";
import type { Span, Spans } from "../spans.ts";
import { stripOf, stripRows } from "../strip.ts";
import { cut, padEnd, textWidth } from "../text.ts";
import { phasesOf } from "../view.ts";
import type { NodeRow, View } from "../view.ts";

/** The nodes with their strips, as many as are in view around the selected one. */
export function nodePaneRows(view: View, size: PaneSize, look: Look): readonly Spans[] {
  const columns = nodeColumns(size.width, Math.max(4, ...view.rows.map(({ node }) => textWidth(node.name))));
  const sizes = view.rows.map(({ steps }) => steps.length);
  const heights = stripHeights(sizes, columns.cells, size.rows);
  const { from, to } = windowOf(view.rows.length, size.rows, view.row);
  return view.rows.slice(from, to).flatMap((row, index) => {
    const which = from + index;
    const line = { view, look, columns, width: size.width, height: heights[which] ?? 1 };
    return nodeLines(row, { ...line, selected: which === view.row });
  });
}

interface NodeLine {
  readonly view: View;
  readonly look: Look;
  readonly width: number;
  readonly columns: NodeColumns;
  readonly height: number;
  readonly selected: boolean;
}

function nodeLines(row: NodeRow, line: NodeLine): readonly Spans[] {
  const { view, look, selected } = line;
  const strip = stripOf(phasesOf(view.state, row), line.columns.cells * line.height);
  const step = selected && view.step ? row.steps.indexOf(view.state.index.get(view.step.id) ?? -1) : -1;
  const strips = stripRows(strip, {
    width: line.columns.cells,
    selected: step < 0 ? undefined : Math.floor(step / strip.per),
    look,
  });
  const focused = selected && view.focus === "nodes";
  const name: Spans = [
    {
      text: selected ? `${look.glyphs.pointer} ` : "  ",
      ...(focused && { color: "cyan" as const }),
      bold: focused,
    },
    {
      text: padEnd(cut(row.node.name, line.columns.name, look.glyphs.ellipsis), line.columns.name),
      bold: selected,
    },
    plain(" "),
  ];
  const indent: Spans = [plain(" ".repeat(line.columns.name + 3))];
  return (strips.length === 0 ? [[]] : strips).map((cells, at) =>
    at === 0
      ? justified([...name, ...cells], nodeCounts(row.node, line.columns.counts, look), line.width, "")
      : [...indent, ...cells],
  );
}

function nodeCounts(node: NodeState, width: number, look: Look): Spans {
  const { counts } = node;
  const notes: Span[] = [];
  const note = (kind: CellKind, count: number): void => {
    if (count > 0)
      notes.push({ text: ` ${look.glyphs.cell[kind]}${formatCount(count)}`, color: cellColors[kind] });
  };
  note("failed", counts.failed);
  note("skipped", counts.skipped);
  note("running", counts.running);
  const done = finished(counts);
  const whole = done === node.size;
  const said = `${formatCount(done)}/${formatCount(node.size)}`;
  const word: Span = { text: said, ...(whole && { dim: true }) };
  const used = spansWidth(notes);
  const space = Math.max(0, width - 1 - used - said.length);
  return [...notes, plain(" ".repeat(space)), word];
}
