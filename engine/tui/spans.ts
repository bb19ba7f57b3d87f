import type { Color } from "./look.ts";
import { cut, textWidth } from "./text.ts";

/** A piece of a line in one style. */
export interface Span {
  readonly text: string;
  readonly color?: Color;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly inverse?: boolean;
}

/** One row of the screen, left to right. */
export type Spans = readonly Span[];

/** A plain span. */
export function plain(text: string): Span {
  return { text };
}

/** A span for what is less important than the rest. */
export function dim(text: string): Span {
  return { text, dim: true };
}

/** Columns that the spans take. */
export function spansWidth(spans: Spans): number {
  return spans.reduce((sum, span) => sum + textWidth(span.text), 0);
}

/** The spans in at most `width` columns. */
export function fitSpans(spans: Spans, width: number, ellipsis: string): Spans {
  if (spansWidth(spans) <= width) return spans;
  const fitted: Span[] = [];
  let left = width;
  for (const span of spans) {
    const needed = textWidth(span.text);
    if (needed <= left) {
      fitted.push(span);
      left -= needed;
      continue;
    }
    if (left > 0) fitted.push({ ...span, text: cut(span.text, left, ellipsis) });
    break;
  }
  return fitted;
}

/** Left and right on one row of `width` columns: the right one stays whole. */
export function justified(left: Spans, right: Spans, width: number, ellipsis: string): Spans {
  const rightWidth = spansWidth(right);
  if (rightWidth >= width) return fitSpans(right, width, ellipsis);
  const fitted = fitSpans(left, width - rightWidth - 1, ellipsis);
  return [...fitted, plain(" ".repeat(width - rightWidth - spansWidth(fitted))), ...right];
}
