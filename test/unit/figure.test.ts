import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import type { Coordinates, JsonObject, Scalar } from "../../engine/sdk.ts";
import { reportFigure } from "../../nodes/report-figure.ts";
import { runNode } from "../rig/run-node.ts";

type Records = readonly { readonly at: Coordinates; readonly fields: Readonly<Record<string, Scalar>> }[];

interface Figure {
  readonly svg: string;
  readonly png: Buffer;
  readonly points: readonly Readonly<Record<string, Scalar>>[];
  readonly logs: readonly string[];
}

async function figure(params: JsonObject, records: Records): Promise<Figure> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-records-"));
  const rows = await Promise.all(
    records.map(async ({ at, fields }, i) => {
      const path = join(folder, `${i}.json`);
      await writeFile(path, JSON.stringify(fields));
      return { at, path };
    }),
  );
  const { outputs, logs } = await runNode(reportFigure, { params, inputs: { rows } });
  const report = outputs["report"] ?? "";
  const spec = JSON.parse(await readFile(join(report, "figure.json"), "utf8")) as {
    data: { values: Figure["points"] };
  };
  return {
    svg: await readFile(join(report, "figure.svg"), "utf8"),
    png: await readFile(join(report, "figure.png")),
    points: spec.data.values,
    logs,
  };
}

const grid: Records = ["image", "caption"].flatMap((noise) =>
  ["0", "10", "30"].flatMap((gamma, j) =>
    ["mlp", "ran"].map((head, k) => ({
      at: { noise, gamma, head },
      fields: { headline: "auc", auc: 0.8 - 0.02 * j + 0.01 * k },
    })),
  ),
);

const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map((match) => match[1] ?? "");

describe("report.figure", () => {
  const kinds: JsonObject[] = [
    { kind: "lines", x: "gamma", series: "head", facet: ["noise"] },
    { kind: "bars-grouped", x: "gamma", series: "head", facet: ["noise"] },
    { kind: "bars-stacked", x: "gamma", series: "head", facet: ["noise"] },
    { kind: "lines", x: "gamma", facet: ["noise", "head"] },
  ];
  for (const params of kinds) {
    it(`draws ${JSON.stringify(params)}, twice with the same bytes`, async () => {
      const first = await figure({ ...params, title: "AUC & noise" }, grid);
      const again = await figure({ ...params, title: "AUC & noise" }, grid);
      expect(again.svg).toBe(first.svg);
      expect(again.png.equals(first.png)).toBe(true);
      expect(first.logs).toEqual([]);
      expect(texts(first.svg)).toEqual(
        expect.arrayContaining(
          ["AUC &amp; noise", "gamma", "auc", "0", "10", "30", "image", "caption", "ran"].filter(
            (text) => text !== "ran" || params["kind"] !== "bars-stacked",
          ),
        ),
      );
      expect(first.points.length).toBe(12);
    });
  }

  it("draws the PNG at twice the size, on white, with text in it", async () => {
    const { svg, png } = await figure({ x: "gamma", series: "head", facet: ["noise"], title: "Title" }, grid);
    const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg) ?? [];
    const image = sharp(png);
    const meta = await image.metadata();
    expect([meta.width, meta.height]).toEqual([2 * Number(width), 2 * Number(height)]);
    const raw = await image.greyscale().raw().toBuffer();
    expect(raw[0]).toBe(255);
    // The title's band: where no font is found it stays empty.
    const band = await image
      .extract({ left: 0, top: 0, width: 160, height: 60 })
      .greyscale()
      .raw()
      .toBuffer();
    const ink = band.filter((value) => value < 128).length;
    expect(ink).toBeGreaterThan(200);
    expect(ink).toBeLessThan(band.length / 3);
  });

  it("stacks a series as the gain over the one before, and tells losses from gains", async () => {
    const records = [
      ["0", "mlp", 0.8],
      ["0", "ran", 0.82],
      ["10", "mlp", 0.7],
      ["10", "ran", 0.65],
      ["30", "ran", 0.6],
    ].map(([gamma, head, auc]) => ({
      at: { gamma: gamma as string, head: head as string },
      fields: { auc: auc as number },
    }));
    const { points, svg } = await figure(
      {
        kind: "bars-stacked",
        x: "gamma",
        y: "auc",
        series: "head",
        percent: true,
        names: { ran: "RAN", mlp: "MLP" },
      },
      records,
    );
    expect(points).toEqual([
      { x: 0, series: "MLP", from: 0, y: 80 },
      { x: 0, series: "RAN − MLP", from: 80, y: 82 },
      { x: 10, series: "MLP", from: 0, y: 70 },
      { x: 10, series: "RAN − MLP (loss)", from: 70, y: 65 },
    ]);
    expect(texts(svg)).toEqual(expect.arrayContaining(["MLP", "RAN − MLP", "RAN − MLP (loss)"]));
  });

  it("stacks parts of a whole", async () => {
    const records = ["a", "b"].map((part, i) => ({
      at: { part },
      fields: { x: "all", share: 0.25 + 0.5 * i },
    }));
    const params = { kind: "bars-stacked", stack: "sum", x: "x", y: "share", series: "part" };
    expect((await figure(params, records)).points).toEqual([
      { x: "all", series: "a", from: 0, y: 0.25 },
      { x: "all", series: "b", from: 0.25, y: 1 },
    ]);
    await expect(figure(params, [{ at: { part: "a" }, fields: { x: "all", share: -1 } }])).rejects.toThrow(
      "cannot hold the negative value -1",
    );
  });

  it("averages over what is not named, with one standard deviation, only when told", async () => {
    const records = [0.7, 0.8, 0.9].map((auc, seed) => ({
      at: { gamma: "0", seed: `${seed}` },
      fields: { auc },
    }));
    await expect(figure({ x: "gamma", y: "auc" }, records)).rejects.toThrow("3 records fall into one cell");
    const { points } = await figure({ x: "gamma", y: "auc", aggregate: "mean-sd" }, records);
    expect(points).toHaveLength(1);
    expect(points[0]?.["y"]).toBeCloseTo(0.8);
    expect(points[0]?.["low"]).toBeCloseTo(0.7);
    expect(points[0]?.["high"]).toBeCloseTo(0.9);
    const interval = await figure({ x: "gamma", y: "auc", aggregate: "mean-ci" }, records);
    expect(interval.points[0]?.["low"]).toBeCloseTo(0.8 - 0.2484, 4);
  });

  it("gives each panel a scale of its own where told to", async () => {
    const records = ["low", "high"].flatMap((kind, k) =>
      ["0", "10"].map((gamma, i) => ({ at: { kind, gamma }, fields: { auc: 0.1 + 0.7 * k + 0.01 * i } })),
    );
    const ticks = async (params: JsonObject): Promise<readonly number[]> => {
      const { svg } = await figure({ x: "gamma", y: "auc", facet: ["kind"], ...params }, records);
      return texts(svg)
        .map(Number)
        .filter((tick) => tick > 0 && tick < 1);
    };
    // Shared, one axis from below the one to above the other; own, an axis near each.
    expect(await ticks({})).toContain(0.4);
    const own = await ticks({ yScale: "own" });
    expect(own.filter((tick) => tick > 0.12 && tick < 0.79)).toEqual([]);
    expect(own.some((tick) => tick < 0.12) && own.some((tick) => tick > 0.79)).toBe(true);
  });

  it("keeps labels that are not numbers in the order of their axis", async () => {
    const records = ["small", "medium", "large"].map((size, i) => ({
      at: { size },
      fields: { auc: i / 10 },
    }));
    const { svg } = await figure({ kind: "bars-grouped", x: "size", y: "auc" }, records);
    const labels = texts(svg).filter((text) => ["small", "medium", "large"].includes(text));
    expect(labels).toEqual(["small", "medium", "large"]);
  });

  it("names what is wrong", async () => {
    await expect(figure({ x: "gama", series: "head" }, grid)).rejects.toMatchObject({
      message: 'row "gama" is no axis of the grid and no field of the records',
      hint: expect.stringContaining("Did you mean gamma?") as string,
    });
    await expect(
      figure({ x: "gamma", y: "auc" }, [{ at: { gamma: "0" }, fields: { auc: null } }]),
    ).rejects.toThrow("no record has a value of auc");
  });

  const impossible: [JsonObject, string][] = [
    [{ x: "a", series: "a" }, "a is named twice"],
    [{ x: "a", kind: "bars-stacked" }, "needs series"],
    [{ x: "a", kind: "lines", stack: "sum" }, "stack is for bars-stacked"],
    [{ x: "a", yMin: 0 }, "go together"],
    [{ x: "a", yMin: 1, yMax: 0 }, "not below"],
    [{ x: "a", yScale: "own" }, "needs facet"],
    [{ x: "a", facet: ["b"], yScale: "own", yMin: 0, yMax: 1 }, "are for all panels"],
  ];
  for (const [params, message] of impossible) {
    it(`refuses ${JSON.stringify(params)}`, () => {
      expect(reportFigure.check?.(reportFigure.params.parse(params) as never)).toContain(message);
    });
  }
});
