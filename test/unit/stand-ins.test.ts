/** The programs that stand in for models outside ranflow, run as `external.vlm` runs them. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import sharp, { type PngOptions } from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const programs = join(import.meta.dirname, "../../pipelines/stand-ins");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-stand-ins-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Answer {
  readonly id: string;
  readonly text?: string;
  readonly image?: string;
}

async function answers(
  program: string,
  items: readonly object[],
  more: readonly string[] = [],
): Promise<Answer[]> {
  const [asked, answered] = [join(folder, "items.jsonl"), join(folder, "answers.jsonl")];
  await writeFile(asked, items.map((item) => `${JSON.stringify(item)}\n`).join(""));
  await execa(process.execPath, [join(programs, program), asked, answered, ...more]);
  return (await readFile(answered, "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Answer);
}

describe("painter", () => {
  it("paints what a caption says where it says it", async () => {
    const captions = [
      "Normal chest X-ray.",
      "a large mass in the right upper zone",
      "a large mass in the left upper zone",
    ];
    const drawn = await answers(
      "painter.mjs",
      captions.map((caption, index) => ({ id: `p${index}`, caption })),
      ["48"],
    );
    const pictures = await Promise.all(
      drawn.map(({ image }) => sharp(join(folder, image!)).extractChannel(0).raw().toBuffer()),
    );
    expect(pictures.map(({ length }) => length)).toEqual([48 * 48, 48 * 48, 48 * 48]);
    const brighter = (index: number, x: number): number => {
      const at = 48 * Math.round(0.3 * 48) + Math.round(x * 48);
      return pictures[index]![at]! - pictures[0]![at]!;
    };
    expect([brighter(1, 0.3), brighter(1, 0.7)]).toEqual([expect.any(Number), 0]);
    expect(brighter(1, 0.3)).toBeGreaterThan(100);
    expect(brighter(2, 0.7)).toBeGreaterThan(100);
  });
});

describe("describer", () => {
  /** A PNG, grey at 80, with a light spot where the patient's left lower zone is shown. */
  async function picture(name: string, spot: number, options: PngOptions): Promise<string> {
    const [width, height] = [50, 40];
    const pixels = Uint8Array.from({ length: width * height * 3 }, (_, at) => {
      const [x, y] = [Math.floor(at / 3) % width, Math.floor(at / 3 / width)];
      return x > 28 && y > 22 && y < 28 ? 80 + spot : 80 + ((x * y) % 3);
    });
    const path = join(folder, name);
    await sharp(pixels, { raw: { width, height, channels: 3 } })
      .png(options)
      .toFile(path);
    return path;
  }

  it.each([
    ["without filters", { adaptiveFiltering: false }],
    ["with every row's best filter", { adaptiveFiltering: true }],
  ])("reads PNGs %s, and says where one lung is brighter", async (_, options) => {
    const items = [
      { id: "clear", image: await picture("clear.png", 0, options) },
      { id: "mild", image: await picture("mild.png", 40, options) },
      { id: "dense", image: await picture("dense.png", 150, options) },
    ];
    expect(await answers("describer.mjs", items)).toEqual([
      { id: "clear", text: "Chest radiograph with clear lungs and a normal cardiac silhouette." },
      { id: "mild", text: "Chest radiograph showing mild consolidation of the left lower zone." },
      { id: "dense", text: "Chest radiograph showing dense consolidation of the left lower zone." },
    ]);
  });
});
