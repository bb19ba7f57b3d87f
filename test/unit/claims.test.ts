import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Coordinates, Scalar } from "../../engine/sdk.ts";
import { claimsInPrint, evaluateClaims } from "../../nodes/paper/claims/index.ts";
import { factsOf } from "../../nodes/paper/claims/facts.ts";
import { paperPrinted } from "../../nodes/paper-printed.ts";
import { readTable } from "../../nodes/records.ts";
import { reportClaims } from "../../nodes/report-claims.ts";
import { runNode } from "../rig/run-node.ts";

const reference = join(
  process.env["RANFLOW_REFERENCE"] ?? join(import.meta.dirname, "../../../shared/reference"),
  "claims.json",
);

interface ReferenceClaim {
  readonly id: string;
  readonly holds_in_reference?: boolean | string;
  readonly reference?: Readonly<Record<string, number>>;
}

type Fields = Readonly<Record<string, Scalar>>;

const evaluated = (records: readonly Fields[], id: string) =>
  evaluateClaims(factsOf(records)).find((claim) => claim.id === id)!;

const probe = (gamma: number, value: number, more: Fields = {}): Fields => ({
  noise: "image",
  gamma,
  head: "probe",
  dataset: "chestxray14",
  value,
  ...more,
});

describe("the claims on the printed numbers", () => {
  const inPrint = new Map(claimsInPrint().map((claim) => [claim.id, claim]));

  it("are measured whole, but for RAN on the clean model, which Table 10 prints for captions alone", () => {
    for (const { id, measured, of } of inPrint.values())
      expect([id, of - measured]).toEqual([id, id === "order" ? 4 : 0]);
  });

  it("hold but for the gain at 10 %, which one cell refutes", () => {
    const failing = [...inPrint.values()].filter(({ verdict }) => verdict !== "holds");
    expect(failing.map(({ id, verdict }) => [id, verdict])).toEqual([["id_gain_10", "does not hold"]]);
    const refuting = failing[0]!.comparisons.filter(({ holds }) => !holds);
    expect(refuting).toEqual([
      {
        what: "chestxray14, image noise: probe at 10 % > clean",
        greater: 0.801,
        lesser: 0.803,
        holds: false,
      },
    ]);
  });

  describe.skipIf(!existsSync(reference))("beside the transcribed claims (skipped without them)", () => {
    const claims = existsSync(reference)
      ? (JSON.parse(readFileSync(reference, "utf8")) as readonly ReferenceClaim[])
      : [];

    it("are those, in their order", () => {
      expect([...inPrint.keys()]).toEqual(claims.map(({ id }) => id));
    });

    it.each(claims.map((claim) => [claim.id, claim] as const))("%s says the same", (id, claim) => {
      const { comparisons, verdict } = inPrint.get(id)!;
      const said = claim.holds_in_reference;
      // Words say in which cells it holds: "NOT" where it does not.
      const expected = typeof said === "string" ? !said.includes("NOT") : (said ?? true);
      expect(verdict).toBe(expected ? "holds" : "does not hold");
      const figures = Object.values(claim.reference ?? {}).map((points) => points / 100);
      const [only] = comparisons;
      if (figures.length === 0) return;
      for (const figure of [Math.max(...figures), Math.min(...figures)])
        expect(figure === Math.max(...figures) ? only!.greater : only!.lesser).toBeCloseTo(figure, 5);
    });
  });
});

describe("a claim", () => {
  it("is not measured without records, holds where all measured comparisons do, and falls with one", () => {
    expect(evaluated([probe(5, 0.8)], "id_gain_5")).toMatchObject({
      verdict: "not measured",
      measured: 0,
      of: 4,
    });
    const clean = probe(0, 0.7, { noise: "none" });
    expect(evaluated([clean, probe(5, 0.8)], "id_gain_5")).toMatchObject({
      verdict: "holds",
      measured: 1,
      of: 4,
    });
    const worse = probe(5, 0.6, { noise: "caption" });
    expect(evaluated([clean, probe(5, 0.8), worse], "id_gain_5")).toMatchObject({
      verdict: "does not hold",
      holding: 1,
      measured: 2,
    });
  });

  it("does not take equal for greater, and rounding for a difference", () => {
    expect(evaluated([probe(0, 0.1 + 0.2), probe(5, 0.3)], "id_gain_5").holding).toBe(0);
    expect(evaluated([probe(0, 0.3), probe(5, 0.1 + 0.2)], "id_gain_5").holding).toBe(0);
  });

  it("compares a ratio with the next smaller one that was measured", () => {
    const { comparisons } = evaluated(
      [0, 10, 30].map((gamma, i) => probe(gamma, 0.8 - 0.1 * i, { dataset: "chexpert" })),
      "ood_monotone",
    );
    expect(comparisons.filter(({ holds }) => holds !== null).map(({ what }) => what)).toEqual([
      "chexpert, image noise: probe at 0 % > at 10 %",
      "chexpert, image noise: probe at 10 % > at 30 %",
    ]);
  });

  it("averages gains over the cells that both sides have, and records of one place", () => {
    const heads = (noise: string, gamma: number, mlp: number, ran: number): readonly Fields[] => [
      probe(gamma, mlp, { noise, head: "mlp" }),
      probe(gamma, ran, { noise, head: "ran" }),
    ];
    const records = [
      ...heads("image", 10, 0.7, 0.74),
      ...heads("image", 10, 0.7, 0.76),
      ...heads("image", 30, 0.5, 0.9),
      ...heads("caption", 10, 0.7, 0.72),
    ];
    const { comparisons, partial } = evaluated(records, "ran_gain");
    const [comparison] = comparisons;
    expect(partial).toBe(true);
    expect(comparison!.what).toContain("1 of 16 cells");
    expect(comparison!.greater).toBeCloseTo(0.05, 12);
    expect(comparison!.lesser).toBeCloseTo(0.02, 12);
  });
});

describe("report.claims", () => {
  async function collected(records: readonly { readonly at: Coordinates; readonly fields: Fields }[]) {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-claims-"));
    return Promise.all(
      records.map(async ({ at, fields }, i) => {
        const path = join(folder, `${i}.json`);
        await writeFile(path, JSON.stringify(fields));
        return { at, path };
      }),
    );
  }

  it("reads collected metrics by their coordinates, and writes verdicts with their figures", async () => {
    const rows = await collected(
      ["0", "5", "10"].map((gamma, i) => ({
        at: { noise: "image", gamma, head: "probe" },
        fields: { dataset: "chestxray14", headline: "auc", auc: [0.7, 0.8, 0.6][i]!, acc: 0.9 },
      })),
    );
    const { outputs } = await runNode(reportClaims, { params: { title: "Claims" }, inputs: { rows } });
    const md = await readFile(join(outputs["report"]!, "claims.md"), "utf8");
    expect(md).toContain("| **holds where measured** | 1 / 1 / 4 | holds | 4 / 4 / 4 |");
    expect(md).toContain("| **does not hold** | 0 / 1 / 4 | does not hold | 3 / 4 / 4 |");
    expect(md).toContain("| chestxray14, image noise: probe at 5 % > clean | 80.00 | 70.00 | 10.00 | yes |");
    expect(await readFile(join(outputs["report"]!, "claims.tex"), "utf8")).toContain("5 \\% noise");
    const json = JSON.parse(await readFile(join(outputs["report"]!, "claims.json"), "utf8")) as unknown;
    expect(json).toHaveLength(11);
    const table = await readTable(outputs["table"]!);
    expect(table.map(({ verdict }) => verdict)).toEqual([
      "holds",
      "does not hold",
      ...Array.from({ length: 9 }, () => "not measured"),
    ]);
  });

  it("says of the printed tables what it says in print", async () => {
    const printed = await Promise.all(
      [1, 2, 3, 6, 8, 10].map(async (table) => ({
        at: {},
        path: (await runNode(paperPrinted, { params: { table } })).outputs["table"]!,
      })),
    );
    const { outputs } = await runNode(reportClaims, { inputs: { tables: printed } });
    const table = await readTable(outputs["table"]!);
    expect(table.map(({ verdict }) => verdict)).toEqual(table.map(({ inPrint }) => inPrint));
    expect(table.filter(({ verdict }) => verdict === "holds")).toHaveLength(10);
  });
});
