import type { Diagnostic } from "../model/diagnostic.ts";
import type { Result } from "../model/result.ts";
import { err, ok } from "../model/result.ts";
import type { SourceFile, SourceRange } from "../model/source.ts";

/** A piece of a selector, and where it stands. */
export interface Piece {
  readonly text: string;
  readonly range: SourceRange;
}

/** Some labels of an axis: any of the patterns. */
export interface AxisPattern {
  readonly axis: Piece;
  readonly labels: readonly Piece[];
}

/** `+node[axis=label|label,...]#shard+`: which steps, with or without what is before and after them. */
export interface Selector {
  /** Without the marks. */
  readonly text: string;
  readonly range: SourceRange;
  readonly node: Piece;
  readonly axes: readonly AxisPattern[];
  /** What follows `#`: steps that do a share of another one's work. */
  readonly shard: Piece | undefined;
  readonly upstream: boolean;
  readonly downstream: boolean;
}

const nodePattern = /[\w\-/*?]+/y;
const axisPattern = /[\w\-/]+/y;
const labelPattern = /[\w.+%\-*?]+/y;
const shardPattern = /[\w/*?]+/y;

/** Reads text from left to right; the first thing that does not belong is the error. */
class Scanner {
  readonly file: SourceFile;
  at = 0;

  constructor(file: SourceFile) {
    this.file = file;
  }

  /** Takes a character if it comes next. */
  take(character: string): boolean {
    if (this.file.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  /** Takes what a sticky pattern matches here. */
  piece(pattern: RegExp): Piece | undefined {
    pattern.lastIndex = this.at;
    const text = pattern.exec(this.file.text)?.[0];
    if (text === undefined) return undefined;
    const start = this.at;
    this.at += text.length;
    return { text, range: { file: this.file, start, end: this.at } };
  }

  spaces(): void {
    while (this.file.text[this.at] === " ") this.at++;
  }

  atEnd(): boolean {
    return this.at === this.file.text.length;
  }

  expected(what: string, hint: string): Diagnostic {
    const found = this.atEnd() ? "it ends" : `there is \`${this.file.text[this.at]}\``;
    const location = { file: this.file, start: this.at, end: this.at + 1 };
    const message = `expected ${what} where ${found}`;
    return { code: "selector-syntax", severity: "error", message, hint, location };
  }
}

const selectorHint =
  "a selector looks like a step, with globs: 'finetune[head=ran,gamma=*]', '+table', 'attack*+'";
const axesHint = "name axes and labels: --axes gamma=0,20 --axes head=ran";

/**
 * Parses a selector.
 *
 * @param source how messages call the place that it was written in
 */
export function parseSelector(text: string, source = "selector"): Result<Selector, Diagnostic> {
  const scanner = new Scanner({ path: source, text });
  const wrong = (what: string): Result<never, Diagnostic> => err(scanner.expected(what, selectorHint));
  scanner.spaces();
  const upstream = scanner.take("+");
  const start = scanner.at;
  const node = scanner.piece(nodePattern);
  if (!node) return wrong("the name of a node");
  const axes: AxisPattern[] = [];
  if (scanner.take("[")) {
    const read = readAxes(scanner, "]", "|");
    if (read === undefined) return wrong("`axis=label`");
    axes.push(...read);
    if (!scanner.take("]")) return wrong("`,` or `]`");
  }
  const shard = scanner.take("#") ? scanner.piece(shardPattern) : undefined;
  if (!shard && text[scanner.at - 1] === "#") return wrong("the number of a shard");
  const end = scanner.at;
  const downstream = scanner.take("+");
  scanner.spaces();
  if (!scanner.atEnd()) return wrong(axes.length > 0 ? "`+` or the end" : "`[`, `+` or the end");
  const range = { file: scanner.file, start, end };
  return ok({ text: text.slice(start, end), range, node, axes, shard, upstream, downstream });
}

/** Parses `gamma=0,20;head=ran`: some labels of some axes. */
export function parseAxes(text: string, source = "--axes"): Result<readonly AxisPattern[], Diagnostic> {
  const scanner = new Scanner({ path: source, text });
  const axes: AxisPattern[] = [];
  do {
    scanner.spaces();
    // A semicolon may stand at the end.
    if (scanner.atEnd() && axes.length > 0) break;
    const axis = readAxis(scanner, ",");
    if (!axis) return err(scanner.expected("`axis=label`", axesHint));
    axes.push(axis);
    scanner.spaces();
  } while (scanner.take(";"));
  return scanner.atEnd() ? ok(axes) : err(scanner.expected("`,`, `;` or the end", axesHint));
}

/** The axes between brackets; `*` in place of one says what leaving it out says. */
function readAxes(scanner: Scanner, end: string, or: string): readonly AxisPattern[] | undefined {
  const axes: AxisPattern[] = [];
  scanner.spaces();
  if (scanner.file.text[scanner.at] === end) return axes;
  do {
    scanner.spaces();
    if (!scanner.take("*")) {
      const axis = readAxis(scanner, or);
      if (!axis) return undefined;
      axes.push(axis);
    }
    scanner.spaces();
  } while (scanner.take(","));
  return axes;
}

function readAxis(scanner: Scanner, or: string): AxisPattern | undefined {
  const axis = scanner.piece(axisPattern);
  if (!axis) return undefined;
  scanner.spaces();
  if (!scanner.take("=")) return undefined;
  const labels: Piece[] = [];
  do {
    scanner.spaces();
    const label = scanner.piece(labelPattern);
    if (!label) return undefined;
    labels.push(label);
    scanner.spaces();
  } while (scanner.take(or));
  return { axis, labels };
}
