import { readFileSync, realpathSync } from "node:fs";
import nodeModule from "node:module";
import type { LoadHookSync, ResolveHookSync } from "node:module";
import { extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { digestBytes } from "../../cache/hash.ts";
import type { Digest } from "../model/ids.ts";
import { NodeError } from "../sdk.ts";
import type { SourceRecord } from "../sdk.ts";
import {
  hasModuleSyntax,
  packageName,
  packageVersion,
  sdkSpecifier,
  sourcePath,
  versionSeparator,
} from "./source.ts";

/** The digest that each file of a plugin must have, by URL. */
const expected = new Map<string, Digest>();
/** The digest of each file of a plugin that this process has loaded: it stays as it was then. */
const loaded = new Map<string, Digest>();
/** Packages that plugins import, and the versions of them that are in their keys. */
const packages = new Map<string, Set<string>>();
let installed = false;

const sdkUrl = new URL(`../../nodes/plugin-sdk${extname(import.meta.url)}`, import.meta.url).href;

/**
 * Lets this process load the files of a plugin: as the modules they are, whatever a `package.json` says, and only
 * with the content that the key names. Undoes nothing of what was allowed before.
 *
 * @throws NodeError where the process has loaded a file with another content
 */
export function allowSource(entry: string, source: SourceRecord): void {
  for (const [name, digest] of Object.entries(source.files)) {
    const path = withoutLinks(sourcePath(entry, name));
    const url = pathToFileURL(path).href;
    if ((loaded.get(url) ?? digest) !== digest) throw changed(`the plugin's file ${path}`);
    expected.set(url, digest);
  }
  for (const [name, versions] of Object.entries(source.packages)) {
    const known = packages.get(name) ?? packages.set(name, new Set()).get(name);
    for (const version of versions.split(versionSeparator)) known?.add(version);
  }
  if (!installed) nodeModule.registerHooks({ resolve, load });
  installed = true;
}

/** Node knows modules by where they really lie. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function changed(what: string): NodeError {
  return new NodeError(`${what} changed since the pipeline was opened`, {
    hint: "run again: the steps of this plugin then run with the file as it is",
  });
}

const resolve: ResolveHookSync = (specifier, context, next) => {
  if (specifier === sdkSpecifier) return { url: sdkUrl, shortCircuit: true };
  const parent = context.parentURL === undefined ? undefined : withoutQuery(context.parentURL);
  if (parent === undefined || !expected.has(parent)) return next(specifier, context);
  const { found, lent } = resolveOrLend(specifier, context, next);
  if (lent || isInKey(specifier, withoutQuery(found.url), parent)) return found;
  throw new NodeError(
    `${fileURLToPath(parent)} imports \`${specifier}\` in a way that cannot be seen in its source, so that the key would miss it`,
    {
      hint:
        'write the name out: `import ... from "./file.ts"` or `await import("./file.ts")`; ' +
        "`require` is not followed",
    },
  );
};

/** A plugin whose folder has no zod of its own gets the one of this program, as with `ranflow/sdk`. */
function resolveOrLend(...[specifier, context, next]: Parameters<ResolveHookSync>): {
  readonly found: ReturnType<ResolveHookSync>;
  readonly lent: boolean;
} {
  try {
    return { found: next(specifier, context), lent: false };
  } catch (error) {
    if (packageName(specifier) !== "zod") throw error;
    return { found: next(specifier, { ...context, parentURL: import.meta.url }), lent: true };
  }
}

/** Whether the key says what an import brings: a file by its digest, a package by its version. */
function isInKey(specifier: string, url: string, parent: string): boolean {
  if (!url.startsWith("file:") || expected.has(url)) return true;
  const versions = packages.get(packageName(specifier) ?? "");
  if (!versions) return false;
  const version = packageVersion(specifier, fileURLToPath(parent)) ?? "";
  if (versions.has(version)) return true;
  throw changed(`the package ${specifier}, now ${version},`);
}

const load: LoadHookSync = (url, context, next) => {
  const file = withoutQuery(url);
  const digest = expected.get(file);
  if (digest === undefined) return next(url, context);
  const path = fileURLToPath(file);
  const bytes = readFileSync(path);
  if (digestBytes(bytes) !== digest) throw changed(`the plugin's file ${path}`);
  loaded.set(file, digest);
  const format = formatOf(path, bytes);
  return format ? { format, source: bytes, shortCircuit: true } : next(url, context);
};

/** Plugins are modules, and TypeScript is known by its name: no `package.json` is needed to say so. */
function formatOf(path: string, bytes: Buffer): "module" | "module-typescript" | undefined {
  switch (extname(path)) {
    case ".ts":
    case ".mts":
      return "module-typescript";
    case ".mjs":
      return "module";
    case ".js":
      return hasModuleSyntax(bytes.toString("utf8")) ? "module" : undefined;
    default:
      return undefined;
  }
}

function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/, "");
}
