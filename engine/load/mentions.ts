/** `$(...)` in texts: where names are mentioned, before anybody knows what they stand for. */
import type { SourceRange } from "../model/source.ts";
import type { ScalarTree, Tree } from "./tree.ts";

/** `$(root.a.b)` in a text. */
export interface Mention {
  /** Name of an axis as the pipeline writes it, or `inputs`. */
  readonly root: string;
  /** Names, or in the place of one a `$(inputs.x)`, an input that holds it. */
  readonly path: readonly string[];
  readonly range: SourceRange;
}

/** A text with its `$(...)` taken apart; `$$(` has become the literal `$(`. */
export interface Template {
  readonly parts: readonly (string | Mention)[];
  readonly problems: readonly { readonly message: string; readonly range: SourceRange }[];
  /** What it leaves to the step; undefined where nothing is to be left. */
  readonly left: readonly Mention[] | undefined;
}

const templates = new WeakMap<ScalarTree, Template | null>();

/** The template of a text; null where it mentions nothing. Each text is taken apart once. */
export function templateOf(tree: ScalarTree): Template | null {
  if (typeof tree.value !== "string" || !tree.value.includes("$(")) return null;
  let template = templates.get(tree);
  if (template === undefined) templates.set(tree, (template = parseTemplate(tree, tree.value)));
  return template;
}

/** @param leave roots of names that stay as they are written, for the step to fill in; `$$(` stays too then */
function parseTemplate(tree: ScalarTree, text: string, leave?: ReadonlySet<string>): Template {
  const left: Mention[] = [];
  const parts: (string | Mention)[] = [];
  const problems: { message: string; range: SourceRange }[] = [];
  const source = tree.range.file.text.slice(tree.range.start, tree.range.end);
  let literal = "";
  let at = 0;
  let searched = 0;
  while (at < text.length) {
    if (text.startsWith("$$(", at)) {
      literal += leave ? "$$(" : "$(";
      at += 3;
      continue;
    }
    if (!text.startsWith("$(", at)) {
      literal += text[at++];
      continue;
    }
    const close = closing(text, at);
    const written = text.slice(at, close < 0 ? undefined : close + 1);
    // Escapes and folded lines may spell it differently in the file: then the whole text is shown.
    const found = source.indexOf(written, searched);
    const start = tree.range.start + found;
    const range =
      found < 0 ? tree.range : { file: tree.range.file, start, end: start + written.trimEnd().length };
    if (found >= 0) searched = found + written.length;
    at += written.length;
    const inner = written.slice(2, -1).trim();
    if (close < 0) problems.push({ message: "`$(` is not closed by `)`", range });
    else if (mentionPattern.test(inner)) {
      const names = inner.match(pathParts) ?? [];
      const mention = { root: names[0] ?? "", path: names.slice(1), range };
      if (leave?.has(mention.root)) {
        literal += `$(${names.join(".")})`;
        left.push(mention);
        continue;
      }
      if (literal !== "") parts.push(literal);
      literal = "";
      parts.push(mention);
    } else problems.push({ message: `\`${written}\` is no name of an axis, a field or an input`, range });
  }
  if (literal !== "" || parts.length === 0) parts.push(literal);
  return { parts, problems, left: leave && left };
}

const name = String.raw`[A-Za-z0-9_+%-]+`;
const mentionPattern = new RegExp(String.raw`^${name}(?:[/.]${name}|\.\$\(inputs(?:\.${name})+\))*$`);
/** What lies between the dots, other than those within an inner `$(...)`. */
const pathParts = /(?:\$\([^)]*\)|[^.])+/g;

/** Where the `$(` at a place is closed; -1 where it is not. */
function closing(text: string, start: number): number {
  let open = 0;
  for (let at = start; at < text.length; at++) {
    if (text.startsWith("$(", at)) open++;
    else if (text[at] === ")" && --open === 0) return at;
  }
  return -1;
}

/**
 * A value in which names of these roots are left for the step to fill in, with all that were left. Where it mentions
 * anything else, that is interpolated as everywhere, and becomes text that stands for itself.
 */
export function leaveToStep(
  tree: Tree,
  roots: ReadonlySet<string>,
): { readonly tree: Tree; readonly left: readonly Mention[] } {
  const left: Mention[] = [];
  const visit = (at: Tree): Tree => {
    if (at.kind === "list") return { ...at, items: at.items.map(visit) };
    if (at.kind === "map") {
      return { ...at, entries: at.entries.map((entry) => ({ ...entry, value: visit(entry.value) })) };
    }
    if (typeof at.value !== "string" || !at.value.includes("$(")) return at;
    const copy = { ...at };
    const template = parseTemplate(at, at.value, roots);
    templates.set(copy, template);
    left.push(...(template.left ?? []));
    return copy;
  };
  return { tree: visit(tree), left };
}

/** The scalars in a value, at any depth, in order. */
export function* scalars(tree: Tree): Generator<ScalarTree> {
  if (tree.kind === "scalar") yield tree;
  else if (tree.kind === "list") for (const item of tree.items) yield* scalars(item);
  else for (const { value } of tree.entries) yield* scalars(value);
}

/** The mentions in a value, at any depth, in order. */
export function mentionsOf(tree: Tree): Mention[] {
  const found: Mention[] = [];
  for (const scalar of scalars(tree)) {
    for (const part of templateOf(scalar)?.parts ?? []) if (typeof part !== "string") found.push(part);
  }
  return found;
}

/** A value whose texts stand for themselves from now on: what another pipeline's interpolation made is not read again. */
export function literal(tree: Tree): Tree {
  if (tree.kind === "list") return { ...tree, items: tree.items.map(literal) };
  if (tree.kind === "map") {
    return { ...tree, entries: tree.entries.map((entry) => ({ ...entry, value: literal(entry.value) })) };
  }
  const copy = { ...tree };
  templates.set(copy, null);
  return copy;
}
