import type { Json, Scalar } from "../model/json.ts";
import type { SourceFile, SourceRange } from "../model/source.ts";

/** A YAML value that knows where it was written. Interpolation makes new trees and leaves the old ones as they are. */
export type Tree = ScalarTree | ListTree | MapTree;

interface TreeBase {
  /** Where the value was written. */
  readonly range: SourceRange;
  /** Where the value is used, if interpolation brought it there from elsewhere. */
  readonly use?: SourceRange;
}

export interface ScalarTree extends TreeBase {
  readonly kind: "scalar";
  readonly value: Scalar;
  /** The value as the file spells it, without quotes: `0.10` stays `0.10`. */
  readonly text: string;
  /** The text still has names that the step fills in, and `$$(` for a literal `$(`. */
  readonly isTemplate?: true;
  /** The file whose folder a relative path starts from, where that is not the file of `range`. */
  readonly origin?: SourceFile;
}

export interface ListTree extends TreeBase {
  readonly kind: "list";
  readonly items: readonly Tree[];
}

export interface MapEntry {
  readonly key: string;
  readonly keyRange: SourceRange;
  readonly value: Tree;
}

export interface MapTree extends TreeBase {
  readonly kind: "map";
  /** In the order of the file, keys unique. */
  readonly entries: readonly MapEntry[];
}

/** The entry of a map with this key. */
export function entryOf(map: MapTree, key: string): MapEntry | undefined {
  return map.entries.find((entry) => entry.key === key);
}

/** True for `~`, `null` and an empty value. */
export function isNull(tree: Tree): boolean {
  return tree.kind === "scalar" && tree.value === null;
}

/** What a value is, in words for a message: `a list`, `the text "x"`, `the number 3`. */
export function describe(tree: Tree): string {
  if (tree.kind === "list") return "a list";
  if (tree.kind === "map") return "a map";
  if (tree.value === null) return "nothing";
  if (typeof tree.value === "string") return `the text ${quote(tree.value)}`;
  return typeof tree.value === "number" ? `the number ${tree.text}` : String(tree.value);
}

/** Quotes text from the user's file for a message, shortened where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/** The plain value of a tree. */
export function toJson(tree: Tree): Json {
  if (tree.kind === "scalar") return tree.value;
  if (tree.kind === "list") return tree.items.map(toJson);
  return Object.fromEntries(tree.entries.map(({ key, value }) => [key, toJson(value)]));
}
