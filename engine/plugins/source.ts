import { existsSync, readFileSync } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, extname, join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { init, parse } from "es-module-lexer";
import type { Import } from "es-module-lexer";
import { digestBytes } from "../../cache/hash.ts";
import type { Digest } from "../model/ids.ts";
import type { SourceRecord } from "../sdk.ts";
import { PluginProblem } from "./problem.ts";

/** What the running program lends to plugins; it is its own business, and no part of a key. */
export const sdkSpecifier = "ranflow/sdk";

/** Between the versions of a package where files of one plugin find different ones. */
export const versionSeparator = " and ";

const moduleExtensions = new Set([".ts", ".mts", ".js", ".mjs"]);

/** A plugin is a module with a few helpers beside it, not a program: each file's digest stands in every fingerprint. */
const mostFiles = 2_000;

/**
 * The source of a plugin: its module, the local files that this imports, and theirs, by `import` and by `import()` of a
 * literal name; types are no source. Names are relative to the module's folder, so that moving it changes nothing.
 *
 * @throws PluginProblem where a file is not there
 */
export async function readSource(entry: string): Promise<SourceRecord> {
  await init();
  const folder = dirname(entry);
  const digests = new Map<string, Digest>();
  const packages = new Map<string, ReadonlySet<string>>();
  const queue: Imported[] = [{ path: entry }];
  const seen = new Set([entry]);
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { bytes, path } = await read(next);
    const name = nameOf(folder, next.path);
    digests.set(name, digestBytes(bytes));
    if (digests.size > mostFiles) {
      throw new PluginProblem(`it imports more than ${mostFiles.toLocaleString("en")} local files`, {
        hint: "make a package of what it builds on: of that only name and version count",
      });
    }
    if (!moduleExtensions.has(extname(path))) continue;
    for (const specifier of importsOf(bytes.toString("utf8"))) {
      const local = localPath(specifier, path);
      if (local !== undefined) {
        if (!seen.has(local)) queue.push({ path: local, by: { name, specifier } });
        seen.add(local);
      } else if (specifier !== sdkSpecifier && !isBuiltin(specifier)) {
        const version = packageVersion(specifier, path);
        if (version === undefined) continue;
        const package_ = packageName(specifier) ?? specifier;
        packages.set(package_, new Set([...(packages.get(package_) ?? []), version]));
      }
    }
  }
  return {
    files: sorted(digests, (digest) => digest),
    packages: sorted(packages, (versions) => [...versions].toSorted().join(versionSeparator)),
  };
}

/** Absolute path of a file in a plugin's source. */
export function sourcePath(entry: string, name: string): string {
  return join(dirname(entry), ...name.split("/"));
}

function nameOf(folder: string, path: string): string {
  return relative(folder, path).split(sep).join("/");
}

/** A file of the source, and the import that asks for it. */
interface Imported {
  readonly path: string;
  /** Absent for the plugin's own module. */
  readonly by?: { readonly name: string; readonly specifier: string };
}

/** A file's content, and its path without links: what it imports is found from there. */
async function read({ by, path }: Imported): Promise<{ readonly bytes: Buffer; readonly path: string }> {
  try {
    return { bytes: await readFile(path), path: await realpath(path) };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === undefined) throw cause;
    const problem = code === "ENOENT" || code === "ENOTDIR" ? "is not there" : `cannot be read (${code})`;
    if (!by) throw new PluginProblem(`it ${problem}`, { cause });
    throw new PluginProblem(`${by.name} imports \`${by.specifier}\`, which ${problem}`, {
      hint: "imports name files in full, with their extension: `./helper.ts`",
      cause,
    });
  }
}

/** The specifiers a module imports when it is loaded, and those that it may import later by a literal name. */
function importsOf(text: string): readonly string[] {
  return (lex(text)?.imports ?? []).flatMap((found) => {
    if (found.type === "import-meta" || found.specifier === undefined) return [];
    if (found.type === "dynamic") return found.glob || found.probablyTypeOnly ? [] : [found.specifier];
    return found.typeOnly ? [] : [found.specifier];
  });
}

/** Whether a text is that of an ES module rather than of CommonJS. `init` of the lexer has been awaited. */
export function hasModuleSyntax(text: string): boolean {
  return lex(text)?.isModule ?? false;
}

/** Undefined for a text with a syntax error: loading it says what is wrong, and better. */
function lex(text: string): { readonly imports: readonly Import[]; readonly isModule: boolean } | undefined {
  try {
    const [imports, , , isModule] = parse(text);
    return { imports, isModule };
  } catch {
    return undefined;
  }
}

/** Path of a file that is named by its place; undefined for anything else. */
function localPath(specifier: string, from: string): string | undefined {
  if (!/^(\.{0,2}\/|file:)/.test(specifier)) return undefined;
  try {
    return fileURLToPath(new URL(specifier, pathToFileURL(from)));
  } catch {
    return undefined;
  }
}

/** Name of the package that a specifier means. */
export function packageName(specifier: string): string | undefined {
  return /^(@[^/]+\/)?[^/#.][^/]*/.exec(specifier)?.[0];
}

/** Version of the package that a specifier means, by the nearest `node_modules` that has it. */
export function packageVersion(specifier: string, from: string): string | undefined {
  const name = packageName(specifier);
  if (name === undefined) return undefined;
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const path = join(folder, "node_modules", name, "package.json");
    if (existsSync(path)) return versionIn(readFileSync(path, "utf8"));
    if (folder === dirname(folder)) return undefined;
  }
}

function versionIn(text: string): string {
  try {
    const { version } = JSON.parse(text) as { readonly version?: unknown };
    return typeof version === "string" ? version : "";
  } catch {
    return "";
  }
}

function sorted<T, V extends string>(
  entries: ReadonlyMap<string, T>,
  text: (value: T) => V,
): Readonly<Record<string, V>> {
  const names = [...entries.keys()].toSorted();
  return Object.fromEntries(names.map((name) => [name, text(entries.get(name) as T)]));
}
