/**
 * Node types of the fault tests. Each writes into a ledger outside of the store what it has done, at the last moment
 * before its result can be committed, flushed: whatever is executed twice is in there twice. The mixed graph names them.
 */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { libraryOf } from "../../engine/model/node-library.ts";
import { defineNode, NodeError, port } from "../../engine/sdk.ts";
import type { CollectedArtifact, NodeLibrary, NodeType } from "../../engine/sdk.ts";
import { exec } from "../../nodes/exec.ts";
import { workThrough } from "../../nodes/items.ts";
import { ledgerPath, readLedger, workName } from "./ledger.ts";
import type { LedgerLine } from "./ledger.ts";

const ledger = (): string => ledgerPath(process.env["RUN_TEST_FOLDER"] ?? "");

function enter(line: LedgerLine): void {
  const file = openSync(ledger(), "a");
  writeSync(file, `${JSON.stringify(line)}\n`);
  fsyncSync(file);
  closeSync(file);
}

/** A text that follows from the name and all inputs, and from nothing else. */
async function textFrom(name: string, inputs: readonly CollectedArtifact[], bytes = 0): Promise<string> {
  const hash = createHash("sha256").update(name);
  for (const { artifact } of inputs) hash.update(await readFile(artifact.path));
  const digest = hash.digest("hex");
  return `${name} ${digest}\n${digest.repeat(Math.ceil(bytes / digest.length)).slice(0, bytes)}`;
}

const text = defineNode({
  type: "fault.text",
  version: 1,
  summary: "Writes a text; fails so many times before",
  inputs: { texts: port("text", { many: true, optional: true }) },
  outputs: { text: port("text") },
  params: z.object({
    name: z.string(),
    bytes: z.int().default(0),
    failures: z.int().default(0),
    pause: z
      .number()
      .default(2)
      .meta({ ephemeral: true, description: "ms, so that a kill finds it at work" }),
  }),
  async run({ params: { name, bytes, failures, pause }, inputs, outputs }) {
    const failed = readLedger(ledger()).filter((line) => line.did === "failed" && line.name === name);
    if (failed.length < failures) {
      enter({ did: "failed", name });
      throw new NodeError(`${name} is not ready`);
    }
    await writeFile(outputs.text.path, await textFrom(name, inputs.texts ?? [], bytes));
    await delay(pause);
    enter({ did: "ran", name });
  },
});

const train = defineNode({
  type: "fault.train",
  version: 1,
  summary: "Counts, with a checkpoint after each",
  inputs: { texts: port("text", { many: true, optional: true }) },
  outputs: { text: port("text") },
  params: z.object({ name: z.string(), steps: z.int() }),
  async run({ params: { name, steps }, inputs, outputs, checkpoint, signal }) {
    const saved = checkpoint("any");
    const from = await saved.restore();
    let state = from
      ? (JSON.parse(await readFile(join(from, "state.json"), "utf8")) as string[])
      : [await textFrom(name, inputs.texts ?? [])];
    enter({ did: "began", name, from: state.length - 1 });
    while (state.length <= steps) {
      signal.throwIfAborted();
      state = [...state, createHash("sha256").update(state.join()).digest("hex")];
      await delay(2);
      const now = JSON.stringify(state);
      if (saved.due()) await saved.save((into) => writeFile(join(into, "state.json"), now));
    }
    await writeFile(outputs.text.path, state.join("\n"));
    enter({ did: "ran", name });
  },
});

const items = defineNode({
  type: "fault.items",
  version: 1,
  summary: "Makes items, each of which is kept",
  itemwise: true,
  inputs: { texts: port("text", { many: true }) },
  outputs: { text: port("text") },
  params: z.object({ name: z.string(), group: z.string(), count: z.int() }),
  async run(context) {
    const { name, group, count } = context.params;
    const { values } = await workThrough<number, string>(context, {
      units: Array.from({ length: count }, (_, item) => item),
      keyOf: (item) => itemKey(group, item),
      atOnce: 1,
      async make([item = 0]) {
        await delay(2);
        enter({ did: "made", name: group, item });
        return [createHash("sha256").update(`${group} ${item}`).digest("hex")];
      },
    });
    if (!context.shard) {
      const all = await textFrom(name, context.inputs.texts);
      await writeFile(context.outputs.text.path, [all, ...values].join("\n"));
    }
    enter({ did: "ran", name: workName(name, context.shard) });
  },
});

/** What the memo keeps an item's result under. */
export function itemKey(group: string, item: number): readonly [string, number] {
  return [group, item];
}

const report = defineNode({
  type: "fault.report",
  version: 1,
  summary: "Writes a report of several files",
  inputs: { texts: port("text", { many: true }) },
  outputs: { report: port("report") },
  params: z.object({ name: z.string() }),
  async run({ params: { name }, inputs, outputs }) {
    await mkdir(join(outputs.report.path, "figures"));
    for (const file of ["table.md", "table.csv", "figures/figure.svg"]) {
      await writeFile(join(outputs.report.path, file), await textFrom(`${name} ${file}`, inputs.texts));
    }
    enter({ did: "ran", name });
  },
});

const types: readonly NodeType[] = [text, train, items, report, exec];

export const library: NodeLibrary = libraryOf(types);
