import type { Diagnostic, DiagnosticCode } from "../model/diagnostic.ts";

/** Errors that what is missing in a file, after a syntax error or in an import, cannot have caused. */
const local: readonly DiagnosticCode[] = [
  "unknown-node-type",
  "unknown-param",
  "param-type",
  "param-value",
  "bad-plugin",
  "duplicate-node-type",
  "interpolation-syntax",
  "invalid-label",
  "duplicate-label",
];

/**
 * True for an error that is one whatever a pipeline lacks.
 *
 * @param brokenAt offset of the first syntax error in the file that the error is in
 */
export function holdsAnyway({ code, location }: Diagnostic, brokenAt: number | undefined): boolean {
  return local.includes(code) && location !== undefined && location.end < (brokenAt ?? Infinity);
}
