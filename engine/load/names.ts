import type { SourceRange } from "../model/source.ts";
import type { Report } from "./report.ts";

/** Reports a name that cannot be used in bindings, interpolation and step ids. */
export function checkName(what: string, name: string, range: SourceRange, report: Report): boolean {
  if (/^[A-Za-z][A-Za-z0-9_-]*$/.test(name)) return true;
  report.error("invalid-name", `\`${name}\` cannot be the name of ${what}`, range, {
    hint: "a name is a letter, then letters, digits, `_` and `-`",
  });
  return false;
}
