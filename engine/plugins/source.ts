import { readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, extname, join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { init, parse } from "es-module-lexer";
import { digestBytes } from "../../cache/hash.ts";
import type { Digest } from "../model/ids.ts";
import type { SourceRecord } from "../sdk.ts";
import { PluginProblem } from "./problem.ts";

/** Specifiers that the running program lends to plugins; they are its own business, and no part of a key. */
export const sdkSpecifier = "ranflow/sdk";

const moduleExtensions = new Set([".ts", ".mts", ".js", ".mjs"]);

/** A plugin is a module with a few helpers beside it, not a program. */
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
  const packages = new Map<string, string>();
  const queue: { readonly path: string; readonly from?: string }[] = [{ path: entry }];
  const seen = new Set([entry]);
  for (let next = queue.shift(); next; next = queue.shift()) {
    const bytes = await read(next);
    const { path } = next;
    digests.set(nameOf(folder, path), digestBytes(bytes));
    if (digests.size > mostFiles) {
      throw new PluginProblem(`it imports more than ${mostFiles.toLocaleString("en")} local files`, {
        hint: "make a package of what it builds on: of that only name and version count",
      });
    }
    if (!moduleExtensions.has(extname(path))) continue;
    for (const specifier of importsOf(bytes.toString("utf8"), path)) {
      const local = localPath(specifier, path);
      if (local !== undefined) {
        if (!seen.has(local)) queue.push({ path: local, from: path });
        seen.add(local);
      } else if (specifier !== sdkSpecifier && !isBuiltin(specifier)) {
        const found = await packageOf(specifier, path);
        if (found) packages.set(found.name, found.version);
      }
    }
  }
  return { files: sorted(digests), packages: sorted(packages) };
}

/** Absolute path of a file in a plugin's source. */
export function sourcePath(entry: string, name: string): string {
  return join(dirname(entry), ...name.split("/"));
}

function nameOf(folder: string, path: string): string {
  return relative(folder, path).split(sep).join("/");
}

async function read({ from, path }: { path: string; from?: string }): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === undefined) throw cause;
    const problem = code === "ENOENT" || code === "ENOTDIR" ? "is not there" : `cannot be read: ${code}`;
    throw new PluginProblem(
      from === undefined ? `${path} ${problem}` : `${from} imports ${path}, which ${problem}`,
      {
        missing: path,
        cause,
        ...(from !== undefined && {
          hint: "imports name files in full, with their extension: `./helper.ts`",
        }),
      },
    );
  }
}

/** The specifiers a module imports when it is loaded, and those that it may import later by a literal name. */
function importsOf(text: string, path: string): readonly string[] {
  let imports: ReturnType<typeof parse>[0];
  try {
    [imports] = parse(text, path);
  } catch {
    // Loading it says what is wrong with it, and better.
    return [];
  }
  return imports.flatMap((found) => {
    if (found.type === "import-meta" || found.specifier === undefined) return [];
    if (found.type === "dynamic") return found.glob || found.probablyTypeOnly ? [] : [found.specifier];
    return found.typeOnly ? [] : [found.specifier];
  });
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

/** Name and version of the package that a specifier means, by the nearest `node_modules` that has it. */
async function packageOf(
  specifier: string,
  from: string,
): Promise<{ readonly name: string; readonly version: string } | undefined> {
  const name = /^(@[^/]+\/)?[^/#]+/.exec(specifier)?.[0];
  if (name === undefined) return undefined;
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const text = await readFile(join(folder, "node_modules", name, "package.json"), "utf8").catch(
      () => undefined,
    );
    if (text !== undefined) return { name, version: versionIn(text) };
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

function sorted<T>(entries: ReadonlyMap<string, T>): Readonly<Record<string, T>> {
  return Object.fromEntries([...entries].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
