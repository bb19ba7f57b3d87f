/** What the meaning of a pipeline is, from its text to its keys: how it is written changes none, what it says changes one. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { libraryOf } from "../../engine/model/node-library.ts";
import { withUpstream } from "../../engine/grid/restrict.ts";
import { loadGrid } from "../../engine/load/index.ts";
import type { Grid } from "../../engine/model/grid.ts";
import type { Store } from "../../cache/types.ts";
import { diskTime } from "../rig/disk-time.ts";
import fc from "../rig/fast-check.ts";
import { echo, execute, gather, seeded, temporaryStore } from "./plan-rig.ts";

let folder = "";
let store: Store;
let removeStore: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-meaning-"));
  ({ store, remove: removeStore } = await temporaryStore());
});
afterAll(async () => {
  await removeStore();
  await rm(folder, { recursive: true });
});

/** Part of every node's parameters: what one example did is nothing to the next. */
let salt = 0;

const library = libraryOf([echo, gather, seeded]);

async function gridOf(files: Readonly<Record<string, string>>, path = "p.yaml"): Promise<Grid> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  const loaded = await loadGrid({ path, cwd: folder, library, sets: [] });
  if (!loaded.ok) throw new Error(loaded.error.map(({ code, message }) => `${code} ${message}`).join("\n"));
  return loaded.value.grid;
}

const rawNode = fc.record({
  kind: fc.constantFrom("echo", "seeded", "gather"),
  n: fc.nat(2),
  deep: fc.nat(3),
  seed: fc.option(fc.nat(2), { nil: undefined }),
  mentions: fc.constantFrom("", "", "a", "b"),
  reads: fc.array(fc.nat(9), { maxLength: 2 }),
});
type RawNode = typeof rawNode extends fc.Arbitrary<infer T> ? T : never;
const rawNodes = fc.array(rawNode, { minLength: 1, maxLength: 6 });

interface Writing {
  readonly nodeName: (index: number) => string;
  readonly shuffle: <T>(items: readonly T[]) => readonly T[];
  readonly note: string;
}
const plainly: Writing = { nodeName: (i) => `s${i}`, shuffle: (items) => items, note: "" };

/** The document of a pipeline of some nodes, each of which reads what comes before it. */
function documentOf(nodes: readonly RawNode[], { nodeName, note, shuffle }: Writing = plainly): object {
  const fields = (entries: readonly (readonly [string, unknown])[]): object =>
    Object.fromEntries(shuffle(entries.filter(([, value]) => value !== undefined)));
  const node = ({ deep, kind, mentions, n, reads, seed }: RawNode, index: number): object => {
    const from = index === 0 ? [] : [...new Set(reads.map((read) => nodeName(read % index)))];
    const mention = mentions === "" ? undefined : mentions === "a" ? "$(a)" : "$(b.weight)";
    const isGather = kind === "gather" && from.length > 0;
    return fields([
      ["type", isGather ? "test.gather" : kind === "seeded" ? "test.seeded" : "test.echo"],
      ["seed", seed],
      [
        "with",
        isGather
          ? { n: mention ?? n }
          : fields([
              ["n", n],
              ["note", note === "" ? undefined : note],
              [
                "deep",
                fields([
                  ["x", deep],
                  ["y", mention ?? 0],
                  ["salt", salt],
                ]),
              ],
            ]),
      ],
      [
        "in",
        isGather
          ? { rows: from.map((collect) => ({ collect })) }
          : fields(from.map((name, i) => [i === 0 ? "a" : "b", name])),
      ],
    ]);
  };
  return fields([
    ["name", `p${note}`],
    ["seed", 5],
    ["axes", { a: [0, 1], b: { first: { weight: 2 }, second: { weight: 3 } } }],
    ["nodes", fields(nodes.map((raw, index) => [nodeName(index), node(raw, index)]))],
  ]);
}

const order = fc.array(fc.nat(1000), { minLength: 30, maxLength: 30 });

/** Puts items in an order that numbers give. */
function shuffler(numbers: readonly number[]): Writing["shuffle"] {
  let next = 0;
  return (items) =>
    items
      .map((item) => [numbers[next++ % numbers.length] ?? 0, item] as const)
      .toSorted(([a], [b]) => a - b)
      .map(([, item]) => item);
}

/** Ways to write a document that say the same. */
const spellings: Readonly<Record<string, (document: object) => string>> = {
  block: (document) => stringify(document),
  JSON: (document) => JSON.stringify(document),
  quoted: (document) => stringify(document, { defaultStringType: "QUOTE_SINGLE", defaultKeyType: "PLAIN" }),
  "with comments": (document) =>
    `# first\n${stringify(document, { indent: 4 }).replaceAll("\n", " # a comment\n\n")}`,
  "in a flow": (document) => stringify(document, { collectionStyle: "flow", lineWidth: 40 }),
};

describe("the text of a pipeline", () => {
  it(
    "may be written in any way, with other names, in another place: nothing runs again",
    async () => {
      await fc.assert(
        fc.asyncProperty(
          rawNodes,
          order,
          fc.constantFrom(...Object.keys(spellings)),
          fc.constantFrom("p.yaml", "other/q.yaml", "namespace"),
          async (nodes, numbers, spelling, place) => {
            salt++;
            const text = spellings[spelling]?.(
              documentOf(nodes, {
                nodeName: (i) => `renamed-${(i * 7) % 10}`,
                shuffle: shuffler(numbers),
                note: "x",
              }),
            );
            const plain = await gridOf({ "p.yaml": JSON.stringify(documentOf(nodes)) });
            const other =
              place === "namespace"
                ? await gridOf(
                    {
                      "deep/inner.yaml": text ?? "",
                      "outer.yaml": "name: o\nimports: { in: deep/inner.yaml }\n",
                    },
                    "outer.yaml",
                  )
                : await gridOf({ [place]: text ?? "" }, place);
            const first = await execute(plain, store);
            expect(first.executed.length).toBeGreaterThan(0);
            const again = await execute(other, store);
            expect(again.executed).toEqual([]);
            const keys = (grid: Grid, planner: typeof first.planner): string[] =>
              grid.steps.map(({ index }) => String(planner.key(index))).toSorted();
            expect(keys(other, again.planner)).toEqual(keys(plain, first.planner));
          },
        ),
        { numRuns: 60 },
      );
    },
    diskTime,
  );

  it(
    "that says something else of a node runs that node and what depends on it, and nothing else",
    async () => {
      const changes: Readonly<Record<string, (node: RawNode) => RawNode>> = {
        "a parameter": (node) => ({ ...node, n: 77 }),
        "a value within a parameter": (node) => ({ ...node, deep: 77 }),
        "a seed": (node) => ({ ...node, seed: 77 }),
      };
      let ran = 0;
      await fc.assert(
        fc.asyncProperty(
          rawNodes,
          fc.nat(9),
          fc.constantFrom(...Object.keys(changes)),
          async (nodes, which, what) => {
            salt++;
            const at = which % nodes.length;
            const changed = nodes.map((node, i) => (i === at ? (changes[what]?.(node) ?? node) : node));
            const before = await gridOf({ "p.yaml": JSON.stringify(documentOf(nodes)) });
            const after = await gridOf({ "p.yaml": JSON.stringify(documentOf(changed)) });
            const first = await execute(before, store);
            const old = new Set(before.steps.map(({ index }) => first.planner.key(index)));
            const second = await execute(after, store);
            const depends = after.steps.filter(({ index }) =>
              withUpstream(after, [index]).some((up) => after.steps[up]?.node === `s${at}`),
            );
            const may = depends.map(({ id }) => id as string);
            for (const id of second.executed) expect(may).toContain(id);
            const own = after.steps.filter(({ node }) => node === `s${at}`);
            const [example] = own;
            const tells =
              what === "a parameter"
                ? JSON.stringify(example?.params["n"]) === "77"
                : what === "a seed"
                  ? example?.nodeType.seeded === true
                  : JSON.stringify(example?.params["deep"])?.includes("77");
            if (!tells) {
              expect(second.executed).toEqual([]);
              return;
            }
            ran++;
            for (const { index } of own) expect(old).not.toContain(second.planner.key(index));
            for (const { index } of depends) expect(old).not.toContain(second.planner.key(index));
          },
        ),
        { numRuns: 60 },
      );
      expect(ran).toBeGreaterThan(20);
    },
    diskTime,
  );

  it("that binds an input to another node, or in another order, has another key", async () => {
    const pairs = fc.constantFrom<readonly [number, number]>([0, 1], [1, 0], [0, 0], [1, 1], [0, 2], [3, 1]);
    await fc.assert(
      fc.asyncProperty(pairs, fc.boolean(), async ([one, two], gathers) => {
        salt++;
        const bound = (first: number, second: number): object => ({
          name: "p",
          nodes: {
            ...Object.fromEntries(
              [0, 1, 2, 3].map((n) => [`s${n}`, { type: "test.echo", with: { n, deep: { salt } } }]),
            ),
            reads: gathers
              ? { type: "test.gather", in: { rows: [`s${first}`, `s${second}`] } }
              : { type: "test.echo", in: { a: `s${first}`, b: `s${second}` } },
          },
        });
        const before = await gridOf({ "p.yaml": JSON.stringify(bound(0, 1)) });
        const after = await gridOf({ "p.yaml": JSON.stringify(bound(one, two)) });
        await execute(before, store);
        const { executed } = await execute(after, store);
        expect(executed).toEqual(one === 0 && two === 1 ? [] : ["reads"]);
      }),
      { numRuns: 25 },
    );
  });
});
