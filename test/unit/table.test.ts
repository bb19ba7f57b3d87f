import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Coordinates, JsonObject, Scalar } from "../../engine/sdk.ts";
import { reportTable } from "../../nodes/report-table.ts";
import { runNode } from "../rig/run-node.ts";

type Records = readonly { readonly at: Coordinates; readonly fields: Readonly<Record<string, Scalar>> }[];

async function table(
  params: JsonObject,
  records: Records,
): Promise<Record<"md" | "csv" | "tex" | "json", string>> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-records-"));
  const rows = await Promise.all(
    records.map(async ({ at, fields }, i) => {
      const path = join(folder, `${i}.json`);
      await writeFile(path, JSON.stringify(fields));
      return { at, path };
    }),
  );
  return reports(params, { rows });
}

async function reports(
  params: JsonObject,
  inputs: NonNullable<Parameters<typeof runNode>[1]>["inputs"],
): Promise<Record<"md" | "csv" | "tex" | "json", string>> {
  const { outputs } = await runNode(reportTable, { params, inputs: inputs ?? {} });
  const read = (name: string): Promise<string> =>
    readFile(join(outputs["report"] ?? "", `table.${name}`), "utf8");
  return { md: await read("md"), csv: await read("csv"), tex: await read("tex"), json: await read("json") };
}

const grid: Records = (["image", "caption"] as const).flatMap((noise, i) =>
  ["0", "10"].flatMap((gamma, j) =>
    ["probe", "ran"].flatMap((head, k) =>
      ["chestxray14", "chexpert"].map((dataset, l) => ({
        at: { noise, gamma, head },
        fields: {
          dataset,
          headline: "auc",
          auc: 0.8 - 0.02 * j + 0.01 * k - 0.05 * l + 0.001 * i,
          acc: 0.9,
        },
      })),
    ),
  ),
);

describe("report.table", () => {
  it("lays out a grid with labels in axis order, repeated labels left blank", async () => {
    const { md } = await table(
      { rows: ["noise", "gamma", "head"], columns: ["dataset"], title: "AUC", percent: true },
      grid,
    );
    expect(md).toBe(
      [
        "**AUC**",
        "",
        "| noise   | gamma | head  | chestxray14 | chexpert |",
        "| ------- | ----- | ----- | ----------: | -------: |",
        "| image   | 0     | probe |        80.0 |     75.0 |",
        "|         |       | ran   |        81.0 |     76.0 |",
        "|         | 10    | probe |        78.0 |     73.0 |",
        "|         |       | ran   |        79.0 |     74.0 |",
        "| caption | 0     | probe |        80.1 |     75.1 |",
        "|         |       | ran   |        81.1 |     76.1 |",
        "|         | 10    | probe |        78.1 |     73.1 |",
        "|         |       | ran   |        79.1 |     74.1 |",
        "",
      ].join("\n"),
    );
  });

  it("marks the best among the rows that differ in the named fields", async () => {
    const { md, tex } = await table(
      {
        rows: ["gamma", "head"],
        columns: ["noise", "dataset"],
        best: "max",
        bestAmong: ["head"],
        names: { ran: "RAN", chestxray14: "ChestX-ray14" },
      },
      grid,
    );
    expect(md).toContain("| gamma | head  | image / ChestX-ray14 |");
    expect(md.match(/\*\*0\.\d{3}\*\*/g)).toHaveLength(8);
    expect(md).toContain("| 0     | probe |                0.800 |");
    expect(md).toContain("|       | RAN   |            **0.810** |");
    expect(tex).toContain("\\multicolumn{2}{c}{image} & \\multicolumn{2}{c}{caption} \\\\");
    expect(tex).toContain("\\cmidrule(lr){3-4} \\cmidrule(lr){5-6}");
    expect(tex).toContain(" & RAN & \\textbf{0.810}");
  });

  it("marks values as equal that are equal as shown", async () => {
    const { md } = await table({ rows: ["head"], value: "auc", best: "min", digits: 1 }, [
      { at: { head: "a" }, fields: { auc: 0.51 } },
      { at: { head: "b" }, fields: { auc: 0.52 } },
      { at: { head: "c" }, fields: { auc: 0.61 } },
    ]);
    expect(md.match(/\*\*0\.5\*\*/g)).toHaveLength(2);
  });

  it("keeps axis order where the grid is trimmed", async () => {
    const trimmed = [
      ["image", "5"],
      ["image", "10"],
      ["caption", "0"],
      ["caption", "5"],
      ["caption", "10"],
    ].map(([noise = "", gamma = ""]) => ({ at: { noise, gamma }, fields: { auc: 0.5 } }));
    const { csv } = await table({ rows: ["gamma"], columns: ["noise"], value: "auc" }, trimmed);
    expect(csv.split("\r\n")).toEqual(["gamma,image,caption", "0,,0.5", "5,0.5,0.5", "10,0.5,0.5", ""]);
  });

  it("shows missing cells as a dash, and leaves them empty where numbers are read", async () => {
    const { md, csv, tex, json } = await table({ rows: ["head"], columns: ["dataset"], value: "auc" }, [
      { at: { head: "probe" }, fields: { dataset: "a", auc: 0.7 } },
      { at: { head: "ran" }, fields: { dataset: "b", auc: null } },
    ]);
    expect(md).toContain("| probe | 0.700 |   – |");
    expect(md).toContain("| ran   |     – |   – |");
    expect(csv).toBe("head,a,b\r\nprobe,0.7,\r\nran,,\r\n");
    expect(tex).toContain("probe & 0.700 & -- \\\\");
    expect(JSON.parse(json)).toMatchObject({
      rows: ["head"],
      columns: ["dataset"],
      cells: [
        { row: ["probe"], column: ["a"], value: 0.7, n: 1, text: "0.700" },
        { value: null, n: 0, text: "–" },
        {},
        {},
      ],
    });
  });

  it("shows several values side by side", async () => {
    const { csv } = await table(
      { rows: ["noise", "gamma", "head"], columns: ["dataset"], value: ["auc", "acc"] },
      grid,
    );
    expect(csv.split("\r\n")[0]).toBe(
      "noise,gamma,head,chestxray14 / auc,chestxray14 / acc,chexpert / auc,chexpert / acc",
    );
    expect(csv.split("\r\n")[1]).toBe("image,0,probe,0.8,0.9,0.75,0.9");
  });

  it("resolves headline per record", async () => {
    const { csv } = await table({ rows: ["node"] }, [
      { at: { node: "cxr" }, fields: { headline: "auc", auc: 0.7, acc: 0.9 } },
      { at: { node: "vqa" }, fields: { headline: "acc", auc: 0.6, acc: 0.8 } },
    ]);
    expect(csv).toBe("node,value\r\ncxr,0.7\r\nvqa,0.8\r\n");
  });

  it("aggregates over what no name addresses only when told", async () => {
    const seeds = [0.7, 0.8, 0.9].map((auc, seed) => ({
      at: { head: "ran", seed: `${seed}` },
      fields: { auc },
    }));
    const params = { rows: ["head"], value: "auc" };
    await expect(table(params, seeds)).rejects.toThrow(
      "3 records fall into one cell of head: at head=ran, seed=0 and at head=ran, seed=1",
    );
    expect((await table({ ...params, aggregate: "mean" }, seeds)).md).toContain("| ran  | 0.800 |");
    const spread = await table({ ...params, aggregate: "mean-sd" }, seeds);
    expect(spread.md).toContain("0.800 ± 0.100");
    expect(spread.tex).toContain("0.800 $\\pm$ 0.100");
    expect(spread.csv.split("\r\n")[0]).toBe("head,value,value sd,value n");
    // t of two degrees of freedom is 4.303: 4.303 · 0.1 / √3.
    const interval = await table({ ...params, aggregate: "mean-ci" }, seeds);
    expect(interval.md).toContain("0.800 ± 0.248");
    expect(interval.csv.split("\r\n")[0]).toBe("head,value,value ci,value n");
  });

  it("reads the rows of a table", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "ranflow-table-")), "table.jsonl");
    await writeFile(path, '{"epoch":1,"loss":0.9}\n{"epoch":2,"loss":0.5}\n');
    const { csv } = await reports({ rows: ["epoch"], value: "loss" }, { table: path });
    expect(csv).toBe("epoch,value\r\n1,0.9\r\n2,0.5\r\n");
  });

  it("escapes what Markdown, CSV and LaTeX would take for syntax", async () => {
    const { md, csv, tex } = await table({ rows: ["label"], value: "auc", title: "50% & more_~^\\" }, [
      { at: {}, fields: { label: 'a|b, "c"\nd_{e}#$', auc: 1 } },
    ]);
    expect(md).toContain('a\\|b, "c" d_{e}#$');
    expect(csv).toBe('label,value\r\n"a|b, ""c""\nd_{e}#$",1\r\n');
    expect(tex).toContain(
      "\\caption{50\\% \\& more\\_\\textasciitilde{}\\textasciicircum{}\\textbackslash{}}",
    );
    expect(tex).toContain("d\\_\\{e\\}\\#\\$");
  });

  it("names what is wrong with a name", async () => {
    await expect(table({ rows: ["noize"], value: "auc" }, grid)).rejects.toMatchObject({
      message: 'row "noize" is no axis of the grid and no field of the records',
      hint: "Did you mean noise? Axes: noise, gamma, head. Fields: dataset, headline, auc, acc.",
    });
    await expect(
      table({ rows: ["dataset"], value: "auc" }, [
        { at: { dataset: "a" }, fields: { dataset: "b", auc: 1 } },
      ]),
    ).rejects.toThrow("row dataset is both an axis of the grid and a field of the records");
    await expect(
      table({ rows: ["noise", "gamma", "head"], columns: ["dataset"], value: "dataset" }, grid),
    ).rejects.toThrow('value dataset is "chestxray14" at noise=image, gamma=0, head=probe, not a number');
    await expect(table({ rows: ["head"] }, [{ at: { head: "a" }, fields: { auc: 1 } }])).rejects.toThrow(
      'value "headline" is no axis',
    );
    await expect(table({ rows: ["head"] }, [])).rejects.toThrow("there are no records to show");
  });

  it("refuses parameters that contradict each other", () => {
    const check = (params: JsonObject): string | undefined =>
      reportTable.check?.(reportTable.params.parse(params) as never);
    expect(check({ rows: ["a"], columns: ["a"] })).toContain("a is named twice");
    expect(check({ rows: ["a"], best: "max", bestAmong: ["b"] })).toContain("bestAmong b");
    expect(check({ rows: ["a"], bestAmong: ["a"] })).toContain("needs best");
    expect(check({ rows: ["a"], best: "max", bestAmong: ["a"] })).toBeUndefined();
  });
});
