/**
 * A process that writes results until it is killed or done, for the tests of crashes and of concurrent writers.
 * Arguments: store, name, number of results, keys shared with others (yes, no). Prints each key that was committed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { keyOf } from "../../cache/key.ts";
import { openStore } from "../../cache/store.ts";
import { temporaryPath } from "../../cache/temporary.ts";
import type { Fingerprint } from "../../engine/model/fingerprint.ts";
import type { RunId, StepId } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";

const [root = "", name = "", count = "0", shared = "no"] = process.argv.slice(2);
const opened = await openStore({ root });
if (!opened.ok) throw new Error(opened.error.message);
const store = opened.value;
const run = "20260101-000000-0000" as RunId;
process.stdout.write("ready\n");

for (let i = 0; i < Number(count); i++) {
  const params = shared === "yes" ? { i } : { name, i };
  const fingerprint: Fingerprint = { type: "t.t", version: 1, params, inputs: {} };
  const key = keyOf(fingerprint);
  const release = await store.lease(key, new AbortController().signal);
  if (store.result(key) === undefined) {
    const folder = temporaryPath(root);
    mkdirSync(folder, { recursive: true });
    for (const file of ["a", "b"])
      writeFileSync(join(folder, file), `${name} ${i} ${file} ${"x".repeat(5_000)}`);
    const out = await store.objects.putArtifact(folder, "folder");
    const result: StoredResult = {
      key,
      fingerprint,
      outputs: { out },
      provenance: { startedAt: 0, finishedAt: 1, runId: run, host: name, ranflow: "0", node: "n" },
    };
    await store.commit(result);
    await store.point(name, [[`s${i}` as StepId, { key, run }]]);
    process.stdout.write(`${key}\n`);
  }
  release();
}
await store.close();
