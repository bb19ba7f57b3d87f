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

/** `+node[axis=label,label,axis=label]#shard+`: which steps, with or without what is before and after them. */
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
    scanner.spaces();
    if (!scanner.take("]")) {
      const read = readAxes(scanner, [","]);
      if (typeof read === "string") return wrong(read);
      axes.push(...read);
      if (!scanner.take("]")) return wrong("`,` or `]`");
    }
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
  const axes = readAxes(scanner, [",", ";"]);
  if (typeof axes === "string") return err(scanner.expected(axes, axesHint));
  return scanner.atEnd() ? ok(axes) : err(scanner.expected("`,`, `;` or the end", axesHint));
}

/**
 * Reads `gamma=0,20,head=ran`: what no `=` follows is one more label of the axis before. `*` in place of an axis says
 * what leaving it out says.
 *
 * @returns what was expected, where something else came
 */
function readAxes(scanner: Scanner, separators: readonly string[]): readonly AxisPattern[] | string {
  const axes: { readonly axis: Piece; readonly labels: Piece[] }[] = [];
  do {
    scanner.spaces();
    const start = scanner.at;
    const axis = scanner.piece(axisPattern);
    scanner.spaces();
    const isAxis = axis !== undefined && scanner.take("=");
    if (isAxis) {
      scanner.spaces();
      axes.push({ axis, labels: [] });
    } else {
      scanner.at = start;
    }
    const label = scanner.piece(labelPattern);
    const last = axes.at(-1);
    // Without this, `[gamma=0,*]` would mean every gamma.
    const isRest = !isAxis && label?.text === "*";
    if (label === undefined || (last === undefined && !isRest)) {
      if (isAxis) return "a label";
      return label === undefined ? "`axis=label`" : "`=`";
    }
    if (!isRest) last?.labels.push(label);
    scanner.spaces();
  } while (separators.some((separator) => scanner.take(separator)));
  return axes;
}
