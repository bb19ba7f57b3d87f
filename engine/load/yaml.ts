import { isAlias, isMap, isScalar, isSeq, parseDocument } from "yaml";
import type { Node, Pair, Scalar, YAMLMap } from "yaml";
import type { SourceFile, SourceRange } from "../model/source.ts";
import type { Report } from "./report.ts";
import type { MapEntry, ScalarTree, Tree } from "./tree.ts";

/** The outcome of parsing: whatever could be made of the text, and where the first syntax error stands. */
export interface ParsedYaml {
  readonly tree: Tree;
  /** Offset of the first syntax error; what stands before it was read as the user meant it. */
  readonly brokenAt: number | undefined;
  /** How many values aliases stand for, written out, here and before. */
  readonly aliased: number;
}

/**
 * Parses one YAML document, with every syntax error, duplicate key and tab reported at its place.
 *
 * @param maxAliased how many values aliases may stand for, written out
 * @param aliased how many they stand for already, in other files of the same pipeline
 */
export function parseYaml(
  file: SourceFile,
  maxAliased: number,
  report: Report,
  aliased = 0,
): ParsedYaml | undefined {
  const document = parseDocument(file.text, {
    // The library compares every pair of keys; `duplicates` below is linear.
    uniqueKeys: false,
    prettyErrors: false,
    stringKeys: true,
    // With `silent` the library says nothing of a second document either, and leaves it out.
    logLevel: "error",
  });
  let brokenAt: number | undefined;
  const broken = (message: string, range: SourceRange, hint?: string): void => {
    brokenAt = Math.min(brokenAt ?? Infinity, range.start);
    report.error("yaml-syntax", message, range, { hint });
  };
  let tooDeep = false;
  for (const { code, message, pos } of [...document.errors, ...document.warnings]) {
    const range = { file, start: pos[0], end: Math.max(pos[1], pos[0] + 1) };
    // The library runs out of stack, and says so with every level that it leaves.
    if (/stack (size|overflow)/i.test(message)) {
      if (!tooDeep) broken("lists and maps stand too deep in each other here", range, "close what is open");
      tooDeep = true;
    } else broken(...explain(code, message, range));
  }
  const builder = new TreeBuilder(file, maxAliased, report, broken);
  builder.aliased = aliased;
  const tree = builder.build(document.contents, file.text.length);
  return builder.tooMany ? undefined : { tree, brokenAt, aliased: builder.aliased };
}

function explain(code: string, message: string, range: SourceRange): [string, SourceRange, string?] {
  switch (code) {
    case "TAB_AS_INDENT":
      return ["a tab is used to indent", range, "YAML is indented with spaces: replace the tab"];
    case "MULTIPLE_DOCS":
      return ["the file holds more than one document", range, "remove the `---`; a file is one pipeline"];
    case "BAD_SCALAR_START":
      return [lowerFirst(message), range, "put the text in quotes"];
    case "NON_STRING_KEY":
      return ["a key must be plain text", range];
    case "TAG_RESOLVE_FAILED":
      return [
        lowerFirst(message),
        range,
        "tags are not used in pipelines: quote a text that begins with `!`",
      ];
    case "BAD_INDENT":
    case "MISSING_CHAR":
    case "BLOCK_AS_IMPLICIT_KEY":
    case "UNEXPECTED_TOKEN":
      return [
        lowerFirst(message),
        range,
        "check the indentation, brackets, quotes and colons here and just above",
      ];
    default:
      return [lowerFirst(message), range];
  }
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

/** Turns the library's nodes into trees; aliases share their tree, so that a bomb costs nothing before it is refused. */
class TreeBuilder {
  tooMany = false;
  /** Values that aliases stand for, so far. */
  aliased = 0;
  readonly #file: SourceFile;
  readonly #maxAliased: number;
  readonly #report: Report;
  readonly #broken: (message: string, range: SourceRange, hint?: string) => void;
  /** `undefined` while the anchored value is being built. */
  readonly #anchors = new Map<string, { tree: Tree; size: number } | undefined>();
  /** Values so far, aliases written out. */
  #size = 0;

  constructor(
    file: SourceFile,
    maxAliased: number,
    report: Report,
    broken: (message: string, range: SourceRange, hint?: string) => void,
  ) {
    this.#file = file;
    this.#maxAliased = maxAliased;
    this.#report = report;
    this.#broken = broken;
  }

  /** `at` is where a missing value would stand. */
  build(node: Node | null, at: number): Tree {
    if (!node) return this.#null(at);
    const anchor = isAlias(node) ? undefined : node.anchor;
    const before = this.#size;
    if (anchor !== undefined) this.#anchors.set(anchor, undefined);
    const tree = this.#convert(node, at);
    if (anchor !== undefined) this.#anchors.set(anchor, { tree, size: this.#size - before });
    return tree;
  }

  #convert(node: Node, at: number): Tree {
    const range = this.#range(node, at);
    if (isAlias(node)) return this.#alias(node.source, range);
    this.#size++;
    if (isSeq(node)) {
      return {
        kind: "list",
        range,
        items: node.items.map((item) => this.build(item as Node | null, range.start)),
      };
    }
    if (isMap(node)) return { kind: "map", range, entries: this.#entries(node, range) };
    if (isScalar(node)) return this.#scalar(node, range);
    throw new Error("internal error: a YAML node of unknown kind");
  }

  #entries(map: YAMLMap, range: SourceRange): MapEntry[] {
    const entries: MapEntry[] = [];
    const first = new Map<string, SourceRange>();
    for (const pair of map.items as Pair<Node | null, Node | null>[]) {
      if (!isScalar(pair.key)) {
        // Anything but a scalar key is in the library's list of errors.
        if (pair.key && isAlias(pair.key))
          this.#broken("a key must be plain text", this.#range(pair.key, range.start));
        continue;
      }
      const keyRange = this.#range(pair.key, range.start);
      const key = String(pair.key.value ?? "");
      const value = this.build(pair.value, keyRange.end);
      const earlier = first.get(key);
      if (earlier) {
        this.#report.error("duplicate-key", `the key \`${key}\` stands here twice`, keyRange, {
          hint: "remove or rename one of them",
          related: [{ message: "the first one", location: earlier }],
        });
        continue;
      }
      first.set(key, keyRange);
      entries.push({ key, keyRange, value });
    }
    return entries;
  }

  #scalar(node: Scalar, range: SourceRange): ScalarTree {
    const { value } = node;
    if (value === null || typeof value === "boolean" || typeof value === "number") {
      return { kind: "scalar", value, text: node.source ?? String(value), range };
    }
    const text = String(value);
    return { kind: "scalar", value: text, text, range };
  }

  #alias(name: string, range: SourceRange): Tree {
    if (!this.#anchors.has(name)) {
      this.#broken(`the alias \`*${name}\` has no anchor \`&${name}\` before it`, range);
      return this.#null(range.start);
    }
    const anchored = this.#anchors.get(name);
    if (!anchored) {
      this.#broken(`the alias \`*${name}\` stands inside its own anchor`, range);
      return this.#null(range.start);
    }
    this.#size += anchored.size;
    this.aliased += anchored.size;
    if (this.aliased > this.#maxAliased && !this.tooMany) {
      this.tooMany = true;
      this.#report.error(
        "too-many-aliases",
        `written out, the aliases stand for more than ${this.#maxAliased.toLocaleString("en")} values`,
        range,
        { hint: "aliases of aliases multiply: use axes or inputs instead" },
      );
    }
    return anchored.tree;
  }

  #null(at: number): ScalarTree {
    return { kind: "scalar", value: null, text: "", range: { file: this.#file, start: at, end: at } };
  }

  #range(node: Node, at: number): SourceRange {
    const [start, end] = node.range ?? [at, at];
    return { file: this.#file, start, end };
  }
}
