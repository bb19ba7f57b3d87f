import { Box } from "ink";
import type { ReactElement } from "react";
import type { PaneSize } from "../layout.ts";
import type { Look } from "../look.ts";
import type { Span, Spans } from "../spans.ts";
import { fitSpans, plain, spansWidth } from "../spans.ts";
import { Line } from "./line.tsx";

export interface PaneProps {
  readonly title: Spans;
  readonly focused?: boolean;
  readonly size: PaneSize;
  readonly rows: readonly Spans[];
  readonly look: Look;
  /** Leaves an empty row above the title. */
  readonly apart?: boolean;
}

/** A title with a rule, and exactly as many rows as the pane has; nothing where it has none. */
export function Pane({ title, focused, size, rows, look, apart }: PaneProps): ReactElement | null {
  if (size.rows <= 0) return null;
  const shown = rows.slice(0, size.rows);
  const blank = Array.from({ length: size.rows - shown.length }, (): Spans => []);
  return (
    <Box flexDirection="column" width={size.width} flexShrink={0}>
      {apart && <Line spans={[]} width={size.width} look={look} />}
      <Line spans={titleRow(title, focused ?? false, size.width, look)} width={size.width} look={look} />
      {[...shown, ...blank].map((spans, index) => (
        <Line key={index} spans={spans} width={size.width} look={look} />
      ))}
    </Box>
  );
}

function titleRow(title: Spans, focused: boolean, width: number, look: Look): Spans {
  const rule = look.glyphs.rule;
  const words = fitSpans(
    title.map((span, index): Span =>
      index === 0 ? { ...span, bold: true, ...(focused && { color: "cyan" }) } : span,
    ),
    width - 4,
    look.glyphs.ellipsis,
  );
  const left = Math.max(0, width - 3 - spansWidth(words));
  return [
    { text: rule, dim: true },
    plain(" "),
    ...words,
    plain(" "),
    { text: rule.repeat(left), dim: true },
  ];
}
