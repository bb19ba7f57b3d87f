import { Text } from "ink";
import type { ReactElement } from "react";
import type { Look } from "../look.ts";
import { fitSpans } from "../spans.ts";
import type { Spans } from "../spans.ts";

export interface LineProps {
  readonly spans: Spans;
  /** Columns; what goes beyond is cut. */
  readonly width: number;
  readonly look: Look;
}

/** One row of the screen. */
export function Line({ spans, width, look }: LineProps): ReactElement {
  const fitted = fitSpans(spans, width, look.glyphs.ellipsis);
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
