/** A text file that diagnostics can point into. */
export interface SourceFile {
  /** Path as shown to the user. */
  readonly path: string;
  readonly text: string;
}

/** A half-open range of UTF-16 offsets in a source file. Lines and columns are computed when printed. */
export interface SourceRange {
  readonly file: SourceFile;
  readonly start: number;
  readonly end: number;
}
