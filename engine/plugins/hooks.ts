import { readFileSync } from "node:fs";
import nodeModule from "node:module";
import type { LoadHookSync, ResolveHookSync } from "node:module";
import { extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { digestBytes } from "../../cache/hash.ts";
import type { Digest } from "../model/ids.ts";
import { NodeError } from "../sdk.ts";
import type { SourceRecord } from "../sdk.ts";
import { sdkSpecifier, sourcePath } from "./source.ts";

/** The digest that each file of a plugin must have, by URL. */
const expected = new Map<string, Digest>();
/** Packages that plugins import, and whose versions are in their keys. */
const packages = new Set<string>();
let installed = false;

const sdkUrl = new URL(`../plugin-sdk${extname(import.meta.url)}`, import.meta.url).href;

/**
 * Lets this process load the files of a plugin: as the modules they are, whatever a `package.json` says, and only
 * with the content that the key names. Undoes nothing of what was allowed before.
 */
export function allowSource(entry: string, source: SourceRecord): void {
  for (const [name, digest] of Object.entries(source.files)) {
    expected.set(pathToFileURL(sourcePath(entry, name)).href, digest);
  }
  for (const name of Object.keys(source.packages)) packages.add(name);
  if (!installed) nodeModule.registerHooks({ resolve, load });
  installed = true;
}

const resolve: ResolveHookSync = (specifier, context, next) => {
  if (specifier === sdkSpecifier) return { url: sdkUrl, shortCircuit: true };
  const parent = context.parentURL === undefined ? undefined : withoutQuery(context.parentURL);
  if (parent === undefined || !expected.has(parent)) return next(specifier, context);
  const found = resolveOrLend(specifier, context, next);
  if (isPartOfKey(specifier, withoutQuery(found.url))) return found;
  throw new NodeError(
    `${fileURLToPath(parent)} imports ${specifier} in a way that cannot be seen in its source, so that the key would miss it`,
    { hint: 'import it by its literal name: `import ... from "./file.ts"` or `await import("./file.ts")`' },
  );
};

/** A plugin whose folder has no zod of its own gets the one of this program. */
function resolveOrLend(
  ...[specifier, context, next]: Parameters<ResolveHookSync>
): ReturnType<ResolveHookSync> {
  try {
    return next(specifier, context);
  } catch (error) {
    if (!/^zod(\/|$)/.test(specifier)) throw error;
    return next(specifier, { ...context, parentURL: import.meta.url });
  }
}

function isPartOfKey(specifier: string, url: string): boolean {
  if (!url.startsWith("file:") || expected.has(url) || url.includes("/node_modules/")) return true;
  const name = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0];
  // A package that is linked into node_modules from elsewhere.
  return name !== undefined && packages.has(name);
}

const load: LoadHookSync = (url, context, next) => {
  const digest = expected.get(withoutQuery(url));
  if (digest === undefined) return next(url, context);
  const path = fileURLToPath(url);
  const bytes = readFileSync(path);
  if (digestBytes(bytes) !== digest) {
    throw new NodeError(`the plugin's file ${path} changed since this run was planned`, {
      hint: "run again: the steps of this plugin then run with the file as it is",
    });
  }
  const format = formatOf(path, bytes, context.format);
  return format ? { format, source: bytes, shortCircuit: true } : next(url, context);
};

/** Plugins are modules, and TypeScript is known by its name: no `package.json` is needed to say so. */
function formatOf(
  path: string,
  bytes: Buffer,
  given: string | null | undefined,
): "module" | "module-typescript" | undefined {
  switch (extname(path)) {
    case ".ts":
    case ".mts":
      return "module-typescript";
    case ".mjs":
      return "module";
    case ".js":
      if (given === "commonjs") return undefined;
      return /^\s*(import\s*[\w{*"'$]|export\b)/m.test(bytes.toString("utf8")) ? "module" : undefined;
    default:
      return undefined;
  }
}

function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/, "");
}
