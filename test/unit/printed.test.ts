import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { paperPrinted } from "../../nodes/paper-printed.ts";
import { printedTables } from "../../nodes/paper/tables.ts";
import type { PrintedTable } from "../../nodes/paper/tables.ts";
import { readTable } from "../../nodes/records.ts";
import { reportTable } from "../../nodes/report-table.ts";
import { runNode } from "../rig/run-node.ts";

const tables = Object.entries(printedTables) as unknown as readonly (readonly [string, PrintedTable])[];
const reference = resolve(import.meta.dirname, "../../../shared/reference");

const rowsOf = async (table: number) =>
  readTable((await runNode(paperPrinted, { params: { table } })).outputs["table"]!);

describe("paper.printed", () => {
  it.each(tables)("table %s has a label for every key and a number for every column", (_, table) => {
    for (const row of table.rows) {
      expect(row).toHaveLength(table.keys.length + table.columns.length);
      for (const number of row.slice(table.keys.length))
        expect(["number", "object"]).toContain(typeof number);
    }
    const places = table.rows.map((row) => JSON.stringify(row.slice(0, table.keys.length)));
    expect(new Set(places).size).toBe(places.length);
  });

  describe.skipIf(!existsSync(reference))("beside the transcribed tables (skipped without them)", () => {
    it.each(tables)("table %s holds exactly their numbers", (number, { keys, rows }) => {
      const lines = readFileSync(join(reference, `table${number}.csv`), "utf8")
        .trim()
        .split(/\r?\n/)
        .slice(1);
      // Keys are whole numbers there, and so is everything in the table of counts.
      const pattern = number === "9" ? /^\d+$/ : /^\d+\.\d+$/;
      const theirs = lines.flatMap((line) =>
        line
          .split(",")
          .filter((cell) => pattern.test(cell))
          .map(Number),
      );
      const ours = rows.flatMap((row) => row.slice(keys.length).filter((value) => typeof value === "number"));
      const sorted = (values: readonly number[]): number[] => values.toSorted((x, y) => x - y);
      expect(sorted(ours)).toEqual(sorted(theirs));
    });
  });

  it("gives one row per printed number, percentages as ratios", async () => {
    const rows = await rowsOf(10);
    expect(rows).toHaveLength(29 * 4);
    expect(rows[0]).toEqual({
      noise: "image",
      gamma: 0,
      head: "probe",
      dataset: "chestxray14",
      value: 0.803,
    });
    expect((await rowsOf(1))[1]).toEqual({ model: "CLIP-ViT-L-14", image: "adversarial", value: 0.384 });
    expect((await rowsOf(9)).at(-1)).toEqual({
      dataset: "vqa-rad",
      split: "test",
      count: "answers",
      value: 451,
    });
  });
});

describe("report.table beside a reference", () => {
  const compare = async (
    params: object,
    records: readonly { at: Record<string, string>; auc: number }[],
    table = 6,
  ) => {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-compared-"));
    const rows = await Promise.all(
      records.map(async ({ at, auc }, i) => {
        const path = join(folder, `${i}.json`);
        await writeFile(path, JSON.stringify({ dataset: "chestxray14", headline: "auc", auc, acc: 0.9 }));
        return { at, path };
      }),
    );
    const printed = join(folder, "printed.jsonl");
    await writeFile(printed, (await rowsOf(table)).map((row) => `${JSON.stringify(row)}\n`).join(""));
    const { outputs } = await runNode(reportTable, {
      params: { rows: ["gamma", "head"], columns: ["dataset"], percent: true, best: "max", ...params },
      inputs: { rows, reference: printed },
    });
    return readFile(join(outputs["report"]!, "table.md"), "utf8");
  };

  it("shows ours, the paper's and the difference, and a dash for what is not printed", async () => {
    const md = await compare({}, [
      { at: { gamma: "5", head: "probe" }, auc: 0.8361 },
      { at: { gamma: "5", head: "ran" }, auc: 0.8279 },
      { at: { gamma: "7", head: "ran" }, auc: 0.5 },
    ]);
    const cells = md
      .trim()
      .split("\n")
      .map((line) => line.split("|").map((cell) => cell.trim()));
    expect(cells[0]!.slice(3, 6)).toEqual([
      "chestxray14 / ours",
      "chestxray14 / paper",
      "chestxray14 / difference",
    ]);
    expect(cells.slice(2).map((row) => row.slice(3, 6))).toEqual([
      ["**83.6**", "81.5", "+2.1"],
      ["82.8", "**82.9**", "-0.1"],
      ["50.0", "–", "–"],
    ]);
  });

  it("compares several values with a reference that tells them apart in a field", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-compared-"));
    const [metrics, printed] = [join(folder, "m.json"), join(folder, "printed.jsonl")];
    await writeFile(metrics, JSON.stringify({ dataset: "slake", split: "val", images: 90, texts: 2000 }));
    await writeFile(printed, (await rowsOf(9)).map((row) => `${JSON.stringify(row)}\n`).join(""));
    const { outputs } = await runNode(reportTable, {
      params: { rows: ["dataset", "split"], value: ["images", "texts"], across: "count", digits: 0 },
      inputs: { rows: [{ at: {}, path: metrics }], reference: printed },
    });
    const md = await readFile(join(outputs["report"]!, "table.md"), "utf8");
    expect(
      md
        .trim()
        .split("\n")
        .at(-1)!
        .split("|")
        .map((cell) => cell.trim())
        .slice(3, 9),
    ).toEqual(["90", "96", "-6", "2000", "2109", "-109"]);
    const one = { value: "images", across: "count" };
    expect(reportTable.check?.(reportTable.params.parse(one) as never)).toMatch(/there is one/);
  });

  it("says what the reference lacks, and what it has twice", async () => {
    const rows = [{ at: { gamma: "5", head: "ran", noise: "image" }, auc: 0.8 }];
    await expect(compare({ rows: ["noise", "gamma", "head"] }, rows)).rejects.toThrow(
      /the reference has no field noise/,
    );
    await expect(compare({ rows: ["gamma"] }, rows)).rejects.toThrow(
      /two numbers for gamma=5, dataset=chestxray14/,
    );
    expect(
      reportTable.checkInputs?.(reportTable.params.parse({ value: ["auc", "acc"] }) as never, [
        "rows",
        "reference",
      ]),
    ).toMatch(/shows one value/);
  });
});
