import { readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import type { JsonObject } from "../../engine/sdk.ts";
import { readQuestions } from "../../nodes/records.ts";
import { reportQuestionSheet } from "../../nodes/report-question-sheet.ts";
import { runNode } from "../rig/run-node.ts";
import { vqaWorld, type VqaWorld } from "../rig/vqa-world.ts";

let world: VqaWorld;
beforeAll(async () => {
  world = await vqaWorld();
});

interface Sheet {
  readonly title: string;
  readonly dataset: string;
  readonly rows: readonly { readonly image: string; readonly questions: readonly JsonObject[] }[];
}

async function draw(params: JsonObject): Promise<{ sheet: Sheet; svg: string; png: Buffer }> {
  const { outputs } = await runNode(reportQuestionSheet, {
    params,
    inputs: { questions: world.questions.test },
    folder: world.folder,
  });
  const file = async (name: string): Promise<Buffer> => readFile(join(outputs["report"]!, name));
  return {
    sheet: JSON.parse(String(await file("figure.json"))) as Sheet,
    svg: String(await file("figure.svg")),
    png: await file("figure.png"),
  };
}

describe("report.question-sheet", () => {
  it("shows the first image with its questions and answers", async () => {
    const { sheet, svg, png } = await draw({ title: "A < B" });
    const { records } = await readQuestions(world.questions.test);
    const asked = records.filter(({ image }) => image.digest === records[0]!.image.digest);
    expect(sheet).toMatchObject({ title: "A < B", dataset: "slake" });
    expect(sheet.rows).toEqual([
      {
        image: records[0]!.image.digest,
        questions: asked.map(({ id, question, answer, answerType }) => ({
          id,
          question,
          answer,
          answerType,
        })),
      },
    ]);
    expect(svg).toContain("A &lt; B");
    expect(svg.match(/<image /g)).toHaveLength(1);
    expect(svg.match(/\(closed\)/g)).toHaveLength(
      asked.filter(({ answerType }) => answerType === "closed").length,
    );
    const [, width, height] = /width="(\d+)" height="([\d.]+)"/.exec(svg)!;
    expect(await sharp(png).metadata()).toMatchObject({
      width: 2 * Number(width),
      height: 2 * Number(height),
    });
  });

  it("shows the images that questions are about, each once, and no more questions than told", async () => {
    const { records } = await readQuestions(world.questions.test);
    const last = records.at(-1)!;
    const about = records.filter(({ image }) => image.digest === last.image.digest);
    const { sheet } = await draw({ ids: [last.id, about[0]!.id, records[0]!.id], questions: 2 });
    expect(sheet.rows.map(({ image }) => image)).toEqual([last.image.digest, records[0]!.image.digest]);
    expect(sheet.rows[0]!.questions.map(({ id }) => id)).toEqual(about.slice(0, 2).map(({ id }) => id));
    await expect(draw({ ids: ["no such"] })).rejects.toThrow('"no such" is not among');
  });
});
