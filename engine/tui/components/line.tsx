import { Text } from "ink";
import type { ReactElement } from "react";
import type { Look } from "../look.ts";
import { fitSpans } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { inRow } from "../text.ts";

export interface LineProps {
  readonly spans: Spans;
  /** Columns; what goes beyond is cut. */
  readonly width: number;
  readonly look: Look;
}

/** One row of the screen. */
export function Line({ spans, width, look }: LineProps): ReactElement {
  // Whatever the rows are made of, nothing gets to the terminal but by here.
  const clean = spans.map((span) => ({ ...span, text: inRow(span.text) }));
  const fitted = fitSpans(clean, width, look.glyphs.ellipsis);
  return (
    <Text wrap="truncate">
      {/* An empty row has no height of its own. */}
      {fitted.length === 0
        ? " "
        : fitted.map((span, index) => (
            <Text
              key={index}
              bold={span.bold ?? false}
              dimColor={span.dim ?? false}
              inverse={span.inverse ?? false}
              {...(look.color && span.color && { color: span.color })}
            >
              {span.text}
            </Text>
          ))}
    </Text>
  );
}
