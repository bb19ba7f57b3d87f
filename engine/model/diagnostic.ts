import type { SourceRange } from "./source.ts";

/** Every way a user's input can be wrong. Codes are stable: tools and tests rely on them. */
export const diagnosticCodes = [
  // reading the file
  "file-not-found",
  "file-unreadable",
  "file-too-large",
  "yaml-syntax",
  "duplicate-key",
  "too-many-aliases",
  "too-many-imports",
  // structure
  "unknown-field",
  "missing-field",
  "wrong-type",
  "invalid-name",
  "shards-unsupported",
  "duplicate-node",
  "bad-plugin",
  "duplicate-node-type",
  // nodes and parameters
  "unknown-node-type",
  "unknown-node",
  "unknown-param",
  "missing-param",
  "param-type",
  "param-value",
  // ports
  "unknown-port",
  "missing-input",
  "ambiguous-output",
  "port-type-mismatch",
  "port-takes-one",
  "binding-syntax",
  "cycle",
  // inputs, axes and grid
  "unknown-input",
  "bad-set",
  "unknown-profile",
  "unknown-axis",
  "unknown-label",
  "duplicate-label",
  "invalid-zip",
  "invalid-label",
  "interpolation-syntax",
  "interpolation-type",
  "duplicate-step",
  "trimmed-step",
  "ambiguous-pin",
  "empty-binding",
  "grid-too-large",
  "unknown-step",
  "selector-syntax",
  "unused",
  // data and store, found while running
  "unknown-backend",
  "unknown-executor",
  "not-enough-slots",
  "store-unusable",
  "store-too-new",
] as const;

export type DiagnosticCode = (typeof diagnosticCodes)[number];

/** A problem with what the user wrote, ready to be shown with a code frame. */
export interface Diagnostic {
  readonly code: DiagnosticCode;
  readonly severity: "error" | "warning";
  /** What is wrong, in one sentence without a full stop. */
  readonly message: string;
  /** What to do about it, or what was probably meant. */
  readonly hint?: string;
  /** Where it is wrong. Absent only where no file is involved. */
  readonly location?: SourceRange;
  readonly related?: readonly { readonly message: string; readonly location: SourceRange }[];
}
