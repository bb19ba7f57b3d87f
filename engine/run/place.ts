import type { SourceRange } from "../model/source.ts";

/** `file:line:column` of where a range begins, counted from 1. */
export function placeOf({ file, start }: SourceRange): string {
  const before = file.text.slice(0, start);
  const line = before.split("\n").length;
  return `${file.path}:${line}:${start - before.lastIndexOf("\n")}`;
}
