import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

interface Locked {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const file = join(dirname(fileURLToPath(import.meta.url)), "../../package-lock.json");
const { packages }: { packages: Readonly<Record<string, Locked>> } = JSON.parse(readFileSync(file, "utf8"));

/** Whether the package at `path` finds `name` as Node does: in its own folder or in one above. */
function resolves(path: string, name: string): boolean {
  if (packages[join(path, "node_modules", name)]) return true;
  if (path === "") return false;
  const above = path.lastIndexOf("/node_modules/");
  return resolves(above < 0 ? "" : path.slice(0, above), name);
}

// A registry mirror without the builds for other platforms makes npm write a lock that lacks them, and `npm ci` then
// refuses that lock everywhere.
it("locks the builds of optional packages for every platform", () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter((name) => !resolves(path, name)),
  );
  expect(missing).toEqual([]);
});
