import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadGrid } from "../../engine/load/index.ts";
import type { Grid, Step } from "../../engine/model/grid.ts";
import { createPlanner } from "../../engine/plan/planner.ts";
import { paperLibrary } from "../rig/paper-library.ts";
import { readsOf } from "../rig/pipeline-folder.ts";
import { temporaryStore } from "./plan-rig.ts";

/** The paper's three hard grids, Tables 5, 7 and 10, in the language: test/golden/grids/. */
const folder = join(import.meta.dirname, "../golden/grids");
const reference = process.env["RANFLOW_REFERENCE"] ?? join(import.meta.dirname, "../../../shared/reference");

async function gridOf(path: string): Promise<Grid> {
  const loaded = await loadGrid({ path, cwd: folder, library: paperLibrary, sets: [] });
  if (!loaded.ok) throw new Error(loaded.error.map(({ code, message }) => `${code} ${message}`).join("\n"));
  expect(loaded.value.warnings).toEqual([]);
  return loaded.value.grid;
}

/** What the table gathers, as the text of some of its coordinates. */
function cells(grid: Grid, coordinates: readonly string[], table = "table"): readonly string[] {
  const rows = readsOf(grid, table, "rows") as readonly [string, Readonly<Record<string, unknown>>][];
  return rows.map(([, at]) => coordinates.map((name) => String(at[name])).join(" "));
}

/** The rows and columns that the paper prints, by the columns of its table that name a row. */
function printed(
  table: string,
  labels: number,
  rename: Readonly<Record<string, string>> = {},
): readonly string[] {
  const [head = "", ...lines] = readFileSync(join(reference, `${table}.csv`), "utf8")
    .trim()
    .split("\n");
  const datasets = head.split(",").slice(labels);
  return lines.flatMap((line) => {
    const row = line
      .split(",")
      .slice(0, labels)
      .map((label) => rename[label] ?? label);
    return datasets.map((dataset) => [...row, dataset].join(" "));
  });
}

const noReference = !existsSync(join(reference, "table10.csv"));
const step = ({ steps }: Grid, id: string): Step => {
  const found = steps.find((candidate) => candidate.id === id);
  if (!found) throw new Error(`there is no step ${id}`);
  return found;
};
const counts = ({ nodes }: Grid): Readonly<Record<string, number>> =>
  Object.fromEntries(nodes.map(({ name, steps }) => [name, steps.length]));

describe("Table 10", () => {
  it("has 29 rows of four datasets, both blocks of noise from one clean model", async () => {
    const grid = await gridOf("table-10.yaml");
    const found = cells(grid, ["noise", "gamma", "head", "data.dataset"]);
    const expected = ["image", "caption"].flatMap((noise) =>
      ["0", "5", "10", "20", "30"].flatMap((gamma) =>
        ["LP", "MLP", "RAN"]
          .filter((head) => noise !== "image" || gamma !== "0" || head !== "RAN")
          .flatMap((head) =>
            ["chestxray14", "chexpert", "slake", "vqa_rad"].map(
              (dataset) => `${noise} ${gamma} ${head} ${dataset}`,
            ),
          ),
      ),
    );
    expect(found.toSorted()).toEqual(expected.toSorted());
    expect(found).toHaveLength(29 * 4);
    expect(counts(grid)).toMatchObject({
      noisy: 10,
      pretrain: 10,
      features: 60,
      tune: 58,
      evaluate: 116,
      table: 1,
    });
    for (const noise of ["image", "caption"]) {
      expect(step(grid, `noisy[noise=${noise},gamma=0]`).reads).toEqual(["clean"]);
    }
    expect(readsOf(grid, "evaluate[noise=image,gamma=5,task=vqa,data=vqa-rad,head=RAN]", "head")).toBe(
      "tune[noise=image,gamma=5,task=vqa,head=RAN]",
    );
    // Trained on the images of its task, measured on others, all of one model.
    expect(readsOf(grid, "tune[noise=image,gamma=5,task=vqa,head=RAN]", "train")).toBe(
      "features[noise=image,gamma=5,data=slake-train]",
    );
    expect(readsOf(grid, "evaluate[noise=image,gamma=5,task=vqa,data=vqa-rad,head=RAN]", "features")).toBe(
      "features[noise=image,gamma=5,data=vqa-rad]",
    );
  });

  it.skipIf(noReference)("has the rows that the paper prints (needs the reference tables)", async () => {
    const found = cells(await gridOf("table-10.yaml"), ["noise", "gamma", "head", "data.dataset"]);
    expect(found.toSorted()).toEqual([...printed("table10", 3)].toSorted());
  });
});

describe("Table 7", () => {
  const coordinates = ["terms.useMse", "terms.useCov", "terms.useAdv", "gamma", "data.dataset"];

  it("has six of the eight sets of terms, at two ratios, by the fields of one axis", async () => {
    const grid = await gridOf("table-7.yaml");
    const sets = ["false false false", "true false false", "false true false"];
    const all = [...sets, "false false true", "true true false", "true true true"];
    const expected = all.flatMap((terms) =>
      ["0", "20"].flatMap((gamma) =>
        ["chestxray14", "slake"].map((dataset) => `${terms} ${gamma} ${dataset}`),
      ),
    );
    expect(cells(grid, coordinates).toSorted()).toEqual(expected.toSorted());
    expect(counts(grid)).toMatchObject({ noisy: 2, pretrain: 2, tune: 24, evaluate: 24 });
    expect(step(grid, "tune[noise=image,gamma=20,task=chest,terms=mse-cov]").params).toMatchObject({
      method: "ran",
      alpha: 0.01,
      useMse: true,
      useCov: true,
      useAdv: false,
    });
  });

  it.skipIf(noReference)("has the rows that the paper prints (needs the reference tables)", async () => {
    const found = cells(await gridOf("table-7.yaml"), coordinates);
    const expected = printed("table7", 4, {}).map((row) => {
      const [mse, cov, adv, ...rest] = row.split(" ");
      return [...[mse, cov, adv].map((used) => used === "1"), ...rest].join(" ");
    });
    expect(found.toSorted()).toEqual(expected.toSorted());
  });
});

describe("Table 5", () => {
  it("has four backbones, each with its own features, tuned on each of two datasets", async () => {
    const grid = await gridOf("table-5.yaml");
    expect(cells(grid, ["backbone", "setting", "dataset"]).toSorted()).toEqual(
      ["BioMedCLIP", "PubMedCLIP", "LLaVA-Med", "PMC-CLIP"]
        .flatMap((backbone) =>
          ["Baseline", "RAN"].flatMap((setting) =>
            ["slake", "vqa_rad"].map((dataset) => `${backbone} ${setting} ${dataset}`),
          ),
        )
        .toSorted(),
    );
    expect(counts(grid)).toEqual({
      data: 4,
      encoder: 3,
      tokens: 12,
      recorded: 4,
      tune: 16,
      evaluate: 16,
      table: 1,
    });
    expect(step(grid, "encoder[backbone=PMC-CLIP]").params).toEqual({ arch: "resnet-50", imageSize: 384 });
    expect(step(grid, "recorded[backbone=LLaVA-Med,dataset=vqa_rad,split=test]").params).toEqual({
      file: "vqa_rad/test/llava-med.safetensors",
    });
    const cell = (backbone: string): string => `[backbone=${backbone},dataset=slake,setting=RAN]`;
    expect(readsOf(grid, `tune${cell("PMC-CLIP")}`, "train")).toBe(
      "tokens[backbone=PMC-CLIP,dataset=slake,split=train]",
    );
    expect(readsOf(grid, `tune${cell("LLaVA-Med")}`, "train")).toBe(
      "recorded[backbone=LLaVA-Med,dataset=slake,split=train]",
    );
    expect(readsOf(grid, `evaluate${cell("LLaVA-Med")}`, "features")).toBe(
      "recorded[backbone=LLaVA-Med,dataset=slake,split=test]",
    );
  });

  it.skipIf(noReference)("has the rows that the paper prints (needs the reference tables)", async () => {
    const found = cells(await gridOf("table-5.yaml"), ["backbone", "setting", "dataset"]);
    const expected = printed("table5", 2, { BioMedCLIP: "BioMedCLIP" });
    expect(found.toSorted()).toEqual([...expected].toSorted());
  });
});

describe("the three tables as one pipeline", () => {
  it("are what they are alone, and can be gathered together", async () => {
    const paper = await gridOf("paper.yaml");
    for (const [name, file] of [
      ["t5", "table-5.yaml"],
      ["t7", "table-7.yaml"],
      ["t10", "table-10.yaml"],
    ] as const) {
      const alone = await gridOf(file);
      const own = paper.steps.filter(({ node }) => node.startsWith(`${name}/`));
      expect(own.map(({ id }) => id.replaceAll(`${name}/`, ""))).toEqual(alone.steps.map(({ id }) => id));
    }
    expect(cells(paper, ["gamma", "data.dataset", "t10/noise"], "claims")).toEqual([
      "20 chestxray14 undefined",
      "20 slake undefined",
      "20 chestxray14 image",
      "20 chexpert image",
      "20 slake image",
      "20 vqa_rad image",
      "20 chestxray14 caption",
      "20 chexpert caption",
      "20 slake caption",
      "20 vqa_rad caption",
    ]);
  });

  it("do once what two of them, or two blocks of one, need", async () => {
    const { store, remove } = await temporaryStore();
    try {
      const executions = async (path: string, node: string): Promise<number> => {
        const grid = await gridOf(path);
        const planner = createPlanner({ grid, store });
        await planner.start();
        const { steps } = planner.snapshot();
        return grid.steps.filter(({ node: name }, i) => name.endsWith(node) && steps[i]?.status !== "shared")
          .length;
      };
      // Clean data is clean, whatever noise the others have: one model of ten.
      expect(await executions("table-10.yaml", "pretrain")).toBe(9);
      expect(await executions("table-7.yaml", "pretrain")).toBe(2);
      // The models of Table 7 are two of those of Table 10, and so are its features.
      expect(await executions("paper.yaml", "pretrain")).toBe(9);
      expect(await executions("paper.yaml", "features")).toBe(9 * 6);
    } finally {
      await remove();
    }
  });

  it("write no node twice, in their fragments neither", () => {
    const written = (file: string): string[] => {
      const text = readFileSync(join(folder, file), "utf8");
      const [, list = ""] = /^imports: \[(.*)\]$/m.exec(text) ?? [];
      const types = [...text.matchAll(/type: (\S+?),?\s/g)].map(([, type]) => type ?? "");
      return [...list.split(", ").filter(Boolean).flatMap(written), ...types];
    };
    for (const [file, nodes] of [
      ["table-5.yaml", 7],
      ["table-7.yaml", 11],
      ["table-10.yaml", 11],
    ] as const) {
      const types = written(file);
      expect(types).toEqual([...new Set(types)]);
      expect(types, file).toHaveLength(nodes);
    }
  });
});
