import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { expect, it } from "vitest";
import { everyType } from "../../engine/model/node-library.ts";
import { library } from "../../nodes/index.ts";

/**
 * A built-in node's key holds its `version`, not its source: a change of the source that changes outputs without a new
 * version would serve old results. So the source closure of each node type is recorded, and a change of it must be
 * answered: raise `version`, or state that outputs stay the same with RANFLOW_SAME_MEANING=1. Either way the record is
 * written anew by running this file with RANFLOW_UPDATE_GOLDEN=1 (or RANFLOW_SAME_MEANING=1).
 */
const sameMeaning = process.env["RANFLOW_SAME_MEANING"] === "1";
const update = process.env["RANFLOW_UPDATE_GOLDEN"] === "1";

const root = join(import.meta.dirname, "..", "..");
const recordPath = join(root, "test", "golden", "node-versions.json");

interface Recorded {
  readonly version: number;
  readonly source: string;
}

it("no node type's source changed without a new version or a word that outputs stay the same", async () => {
  const recorded: Readonly<Record<string, Recorded>> = existsSync(recordPath)
    ? JSON.parse(await readFile(recordPath, "utf8"))
    : {};
  const now: Record<string, Recorded> = {};
  for (const { type, version } of await everyType(library)) {
    now[type] = { version, source: await sourceDigest(join(root, "nodes", `${type.replace(".", "-")}.ts`)) };
  }
  const unanswered = Object.entries(now)
    .filter(
      ([type, { version, source }]) =>
        recorded[type]?.version === version && recorded[type]?.source !== source,
    )
    .map(([type]) => type);
  if (sameMeaning || (update && unanswered.length === 0)) {
    await writeFile(recordPath, `${JSON.stringify(now, undefined, 2)}\n`);
    return;
  }
  expect(unanswered, "raise the version of these, or run this test with RANFLOW_SAME_MEANING=1").toEqual([]);
  expect(now, "run this test with RANFLOW_UPDATE_GOLDEN=1 to record the new versions").toEqual(recorded);
});

/** Digest of a module, of all modules under nodes/ that it imports, statically or by `import()`, and of files that it names by URL. */
async function sourceDigest(entry: string): Promise<string> {
  const sources = new Map<string, string>();
  const visit = async (path: string): Promise<void> => {
    const name = relative(root, path);
    if (sources.has(name)) return;
    const text = await readFile(path, "utf8");
    sources.set(name, text);
    for (const [, specifier] of text.matchAll(/(?:from|import|new URL)\s*\(?\s*"(\.[^"]+)"/g)) {
      const imported = join(dirname(path), specifier ?? "");
      // The sdk is the engine's contract; it holds no computation.
      if (relative(join(root, "nodes"), imported).startsWith("..")) continue;
      await visit(imported);
    }
  };
  await visit(entry);
  const sorted = [...sources].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}
