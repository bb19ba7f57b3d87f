import type { Workspace } from "../rig/cli.ts";

/** Items of each group of the mixed graph. */
export const itemGroups: ReadonlyMap<string, number> = new Map([["letters", 24]]);

/** A graph of every kind of step there is; each type of the fault tests' own names its work in `name`. */
const pipeline = `
name: mixed
axes:
  n: [1, 2, 3, 4, 5, 6]
  m: [a, b]
nodes:
  source:
    type: fault.text
    with: { name: source-$(n) }
  again:
    type: fault.text
    with: { name: source-$(n) }
  cell:
    type: fault.text
    in: { texts: source }
    with: { name: cell-$(n)-$(m), bytes: 3000 }
  flaky:
    type: fault.text
    in: { texts: again }
    with: { name: flaky-$(n), failures: 1 }
    only: [{ n: [2, 4] }]
    retries: 3
  train:
    type: fault.train
    in: { texts: { collect: source } }
    with: { name: train-$(m), steps: 12 }
  column:
    type: fault.text
    in: { texts: { collect: cell, over: [n] } }
    with: { name: column-$(m) }
  some:
    type: fault.items
    in: { texts: { collect: source } }
    with: { name: some, group: letters, count: 16 }
    shards: 4
  more:
    type: fault.items
    in: { texts: some }
    with: { name: more, group: letters, count: 24 }
  program:
    type: exec
    in: { text: cell }
    only: [{ n: [1, 3], m: a }]
    with:
      command: [sh, program.sh, program-$(n), $(in.text), $(out.text)]
      files: [program.sh]
      outputs: { text: text }
      ambient: [RUN_TEST_FOLDER]
  gather:
    type: fault.report
    in: { texts: [{ collect: column }, { collect: train }, { collect: program.text }, { collect: flaky }, more] }
    with: { name: gather }
`;

const program = `set -e
cat "$2" "$2" > "$3"
sleep 0.005
printf '{"did":"ran","name":"%s"}\\n' "$1" >> "$RUN_TEST_FOLDER/ledger.ndjson"
sync "$RUN_TEST_FOLDER/ledger.ndjson"
`;

/** Writes the mixed graph, as p.yaml, and what it needs. */
export async function writeMixedGraph(workspace: Workspace): Promise<void> {
  await workspace.write("p.yaml", pipeline);
  await workspace.write("program.sh", program);
}
