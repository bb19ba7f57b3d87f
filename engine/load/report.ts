import type { Diagnostic, DiagnosticCode } from "../model/diagnostic.ts";
import type { SourceRange } from "../model/source.ts";

/** Places that a diagnostic also points to. */
export type Related = NonNullable<Diagnostic["related"]>;

/** What a diagnostic may say besides its code, message and place. */
export interface Extra {
  readonly hint?: string | undefined;
  readonly related?: Related | undefined;
}

/**
 * Collects diagnostics. The same one is kept once, however many steps run into it.
 */
export interface Report {
  error(code: DiagnosticCode, message: string, location?: SourceRange, extra?: Extra): void;
  warn(code: DiagnosticCode, message: string, location?: SourceRange, extra?: Extra): void;
  add(diagnostic: Diagnostic): void;
  /** Number of errors so far. */
  errors(): number;
  /** All of them, by place: file, then offset; those without a place first. */
  all(): readonly Diagnostic[];
}

/** An empty report. */
export function createReport(): Report {
  const kept = new Map<string, Diagnostic>();
  const files: unknown[] = [];
  let errors = 0;

  const fileNumber = (location: SourceRange | undefined): number => {
    if (!location) return -1;
    const known = files.indexOf(location.file);
    return known >= 0 ? known : files.push(location.file) - 1;
  };

  const add = (diagnostic: Diagnostic): void => {
    const { code, location, message } = diagnostic;
    const key = [code, fileNumber(location), location?.start, location?.end, message].join("\0");
    if (kept.has(key)) return;
    kept.set(key, diagnostic);
    if (diagnostic.severity === "error") errors++;
  };

  const make =
    (severity: Diagnostic["severity"]) =>
    (code: DiagnosticCode, message: string, location?: SourceRange, extra: Extra = {}): void =>
      add({
        code,
        severity,
        message,
        ...(extra.hint !== undefined && { hint: extra.hint }),
        ...(location && { location }),
        ...(extra.related?.length && { related: extra.related }),
      });

  return {
    add,
    error: make("error"),
    warn: make("warning"),
    errors: () => errors,
    all: () =>
      [...kept.values()].toSorted(
        (a, b) =>
          fileNumber(a.location) - fileNumber(b.location) ||
          (a.location?.start ?? 0) - (b.location?.start ?? 0) ||
          (a.location?.end ?? 0) - (b.location?.end ?? 0),
      ),
  };
}
