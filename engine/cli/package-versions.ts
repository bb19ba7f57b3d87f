import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { packageRoot } from "./package-root.ts";

type About = {
  readonly version?: string;
  readonly dependencies?: object;
  readonly optionalDependencies?: object;
};

/** Versions of packages as they are installed for ranflow; undefined for those that are not. */
export function packageVersions(names: readonly string[]): Readonly<Record<string, string | undefined>> {
  const root = packageRoot();
  return Object.fromEntries(names.map((name) => [name, versionOf(name, root)]));
}

/** Names of the packages that ranflow builds on. */
export function packageNames(): readonly string[] {
  const { dependencies, optionalDependencies } = readAbout(packageRoot()) ?? {};
  return Object.keys({ ...dependencies, ...optionalDependencies });
}

/** Found as Node finds it: in the nearest `node_modules` that has the package. */
function versionOf(name: string, folder: string): string | undefined {
  const about = readAbout(join(folder, "node_modules", ...name.split("/")));
  if (about) return about.version;
  return dirname(folder) === folder ? undefined : versionOf(name, dirname(folder));
}

/** Read at once: waiting for twenty small files one by one would take longer. */
function readAbout(folder: string): About | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as About;
  } catch {
    return undefined;
  }
}
