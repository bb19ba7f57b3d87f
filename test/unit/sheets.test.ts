import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import type { JsonObject } from "../../engine/sdk.ts";
import { attackCaptionLlm } from "../../nodes/attack-caption-llm.ts";
import { attackImagePgd } from "../../nodes/attack-image-pgd.ts";
import { markChanges } from "../../nodes/captions/word-changes.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { readPairs, readTable, writePairs, writeTable, type TableRow } from "../../nodes/records.ts";
import { reportAnswerSheet } from "../../nodes/report-answer-sheet.ts";
import { reportCaptionSheet } from "../../nodes/report-caption-sheet.ts";
import { reportImageSheet } from "../../nodes/report-image-sheet.ts";
import { reportLabelSheet } from "../../nodes/report-label-sheet.ts";
import { pictureWorld, type PictureWorld } from "../rig/picture-world.ts";
import { runNode, type NodeRun } from "../rig/run-node.ts";

let world: PictureWorld;
let attack: NodeRun;

beforeAll(async () => {
  world = await pictureWorld();
  const { folder, pairs, targets } = world;
  const arch = {
    embed_dim: 16,
    vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8 },
    text_cfg: { context_length: 12, width: 32, heads: 2, layers: 1 },
  };
  const model = await runNode(modelClip, { folder, params: { arch }, inputs: { captions: pairs } });
  attack = await runNode(attackImagePgd, {
    folder,
    params: { steps: 3, percent: 50 },
    inputs: { pairs, targets, model: model.outputs["model"]! },
  });
});

const fileOf = (run: NodeRun, name: string): string => join(run.outputs["report"]!, name);

describe("report.image-sheet", () => {
  const draw = (params: JsonObject = {}, inputs: Readonly<Record<string, string>> = {}) =>
    runNode(reportImageSheet, {
      folder: world.folder,
      params,
      inputs: {
        clean: world.pairs,
        targets: world.targets,
        attacked: attack.outputs["pairs"]!,
        report: attack.outputs["report"]!,
        ...inputs,
      },
    });

  /** Pixels of the images in an SVG, in order. */
  async function imagesOf(run: NodeRun): Promise<Buffer[]> {
    const svg = await readFile(fileOf(run, "figure.svg"), "utf8");
    const encoded = [...svg.matchAll(/href="data:image\/png;base64,([^"]+)"/g)].map(([, data]) => data!);
    return Promise.all(encoded.map((data) => sharp(Buffer.from(data, "base64")).raw().toBuffer()));
  }

  it("has the numbers of the attack's report, and four images a row", async () => {
    const run = await draw({ count: 3, amplify: 4, title: "A < B" });
    const report = await readTable(attack.outputs["report"]!);
    const numbers = JSON.parse(await readFile(fileOf(run, "figure.json"), "utf8")) as JsonObject;
    expect(numbers).toEqual({ title: "A < B", amplify: 4, rows: report.slice(0, 3) });
    const images = await imagesOf(run);
    expect(images).toHaveLength(12);
    for (let row = 0; row < 3; row++) {
      const [clean, , difference, adversarial] = images.slice(4 * row, 4 * row + 4);
      clean!.forEach((value, at) =>
        expect(difference![at]).toBe(Math.min(255, Math.max(0, 128 + 4 * (adversarial![at]! - value)))),
      );
      const largest = Math.max(...clean!.map((value, at) => Math.abs(adversarial![at]! - value)));
      expect(largest / 255).toBeLessThanOrEqual(Number(report[row]!["linf"]) + 0.51 / 255);
    }
  });

  it("is a PNG of twice the SVG's size, with the same bytes again", async () => {
    const run = await draw({ count: 2, cell: 100 });
    const png = await readFile(fileOf(run, "figure.png"));
    const svg = await readFile(fileOf(run, "figure.svg"), "utf8");
    const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!;
    expect(await sharp(png).metadata()).toMatchObject({
      width: 2 * Number(width),
      height: 2 * Number(height),
    });
    const again = await draw({ count: 2, cell: 100 });
    expect(await readFile(fileOf(again, "figure.png"))).toEqual(png);
    expect(await readFile(fileOf(again, "figure.svg"), "utf8")).toBe(svg);
  });

  it("shows the images that are asked for", async () => {
    const [, , third] = await readPairs(attack.outputs["pairs"]!);
    const { rows } = JSON.parse(
      await readFile(fileOf(await draw({ ids: [third!.id] }), "figure.json"), "utf8"),
    ) as { rows: { id: string }[] };
    expect(rows.map(({ id }) => id)).toEqual([third!.id]);
    await expect(draw({ ids: ["p99"] })).rejects.toMatchObject({
      message: '"p99" is not among the 7 attacked images',
      hint: expect.stringMatching("They begin with p"),
    });
  });

  it("says what is bound wrongly", async () => {
    await expect(draw({}, { targets: world.pairs })).rejects.toThrow(/`targets` has no record "p1\d"/);
    const other = join(world.folder, "other-report");
    await writeTable(other, [{ id: "p0", target: "p14" }]);
    await expect(draw({}, { report: other })).rejects.toThrow("no column cosBefore of the right kind");
    await writeTable(other, []);
    await expect(draw({}, { report: other })).rejects.toThrow("there are no attacked images to show");
  });
});

describe("report.answer-sheet", () => {
  /** What a model might have said about the clean and the attacked images; it fell silent about the last attacked one. */
  async function draw(params: JsonObject = {}, inputs: Readonly<Record<string, string>> = {}) {
    const attacked = await readPairs(attack.outputs["pairs"]!);
    const [clean, adversarial] = ["clean-answers", "adversarial-answers"].map((name) =>
      join(world.folder, name),
    );
    await writePairs(
      clean!,
      (await readPairs(world.pairs)).map((pair) => ({ ...pair, caption: "a small <left> nodule" })),
    );
    await writePairs(
      adversarial!,
      attacked.slice(0, -1).map((pair) => ({ ...pair, caption: "a large <left> nodule" })),
    );
    const run = await runNode(reportAnswerSheet, {
      folder: world.folder,
      params,
      inputs: {
        clean: clean!,
        adversarial: adversarial!,
        targets: world.targets,
        report: attack.outputs["report"]!,
        ...inputs,
      },
    });
    return {
      run,
      svg: await readFile(fileOf(run, "figure.svg"), "utf8"),
      sheet: JSON.parse(await readFile(fileOf(run, "figure.json"), "utf8")) as {
        rows: { id: string; target: { id: string; caption: string } }[];
      },
    };
  }

  it("shows both images of each, both answers with what differs, and the target's caption", async () => {
    const { svg, sheet, run } = await draw({ title: "Figure 5", prompt: "what is this?" });
    expect(sheet.rows).toHaveLength(4);
    expect(svg.match(/href="data:image/g)).toHaveLength(8);
    expect(svg).toContain("Asked: what is this?");
    expect(svg).toMatch(/a <tspan text-decoration="line-through"[^>]*>small<\/tspan> &lt;left&gt; nodule/);
    expect(svg).toMatch(/a <tspan [^>]*font-weight="bold">large<\/tspan> &lt;left&gt; nodule/);
    const report = await readTable(attack.outputs["report"]!);
    const captions = new Map((await readPairs(world.targets)).map(({ id, caption }) => [id, caption]));
    for (const { id, target } of sheet.rows) {
      expect(target.id).toBe(report.find((row) => row["id"] === id)!["target"]);
      expect(target.caption).toBe(captions.get(target.id));
      expect(svg).toContain(target.caption);
    }
    expect((await sharp(fileOf(run, "figure.png")).metadata()).format).toBe("png");
  });

  it("says where nothing was answered, and does not fail", async () => {
    const nothing = join(world.folder, "nothing");
    await writePairs(nothing, []);
    const { svg, sheet, run } = await draw({}, { adversarial: nothing });
    expect(sheet.rows).toEqual([]);
    expect(svg).toContain("No image has both answers.");
    expect(run.logs.join("\n")).toContain("the sheet is empty");
  });

  it("leaves out what got no answer, and says what is bound wrongly", async () => {
    const silent = (await readPairs(attack.outputs["pairs"]!)).at(-1)!.id;
    await expect(draw({ ids: [silent] })).rejects.toThrow("is not among the 6 images with both answers");
    await expect(draw({}, { targets: world.pairs })).rejects.toThrow(/`targets` has no record "p1\d"/);
    const other = join(world.folder, "no-targets");
    await writeTable(other, [{ id: "p99", target: "p14" }]);
    await expect(draw({}, { report: other })).rejects.toThrow(/`report` does not say the target of "p\d+"/);
    await writeTable(other, [{ id: "p99" }]);
    await expect(draw({}, { report: other })).rejects.toThrow("does not say id and target");
  });
});

describe("report.label-sheet", () => {
  const draw = (params: JsonObject = {}) =>
    runNode(reportLabelSheet, { folder: world.folder, params, inputs: { images: world.images } });

  it("has the labels of the images that have a finding, with the same bytes again", async () => {
    const run = await draw({ title: "A & B" });
    expect(JSON.parse(await readFile(fileOf(run, "figure.json"), "utf8"))).toEqual({
      title: "A & B",
      dataset: "test",
      split: "train",
      rows: ["p1", "p3"].map((id) => ({ id, labels: { a: 1, b: null } })),
    });
    const svg = await readFile(fileOf(run, "figure.svg"), "utf8");
    expect(svg.match(/<image /g)).toHaveLength(2);
    expect(svg).toContain("A &amp; B");
    // A label that is there stands out in bold, one that nobody knows has a question mark.
    expect(svg).toMatch(/font-weight="bold">a</);
    expect(svg.match(/>\?</g)).toHaveLength(2);
    expect(await readFile(fileOf(await draw({ title: "A & B" }), "figure.svg"), "utf8")).toBe(svg);
  });

  it("shows the images that are asked for, and says which are not there", async () => {
    const { rows } = JSON.parse(
      await readFile(fileOf(await draw({ ids: ["p0"] }), "figure.json"), "utf8"),
    ) as {
      rows: unknown;
    };
    expect(rows).toEqual([{ id: "p0", labels: { a: 0, b: null } }]);
    await expect(draw({ ids: ["p9"] })).rejects.toThrow('"p9" is not among the 5 labelled images');
  });
});

describe("markChanges", () => {
  const shown = (before: string, after: string): [string, string] => {
    const marks = markChanges(before, after);
    const text = (words: readonly { text: string; changed: boolean }[]): string =>
      words.map((word) => (word.changed ? `[${word.text}]` : word.text)).join(" ");
    return [text(marks.before), text(marks.after)];
  };

  it.each([
    ["a b c", "a x c", "a [b] c", "a [x] c"],
    ["a b c", "a c", "a [b] c", "a c"],
    ["a c", "a b c", "a c", "a [b] c"],
    ["a b", "a b", "a b", "a b"],
    ["", "new words", "", "[new] [words]"],
    ["x y", "", "[x] [y]", ""],
    ["left lung mass", "mass in left lung", "[left] [lung] [mass]", "[mass] [in] [left] [lung]"],
  ])("%s -> %s", (before, after, ...expected) => {
    const [from, to] = shown(before, after);
    const count = (text: string): number => text.split("[").length - 1;
    expect([from, to].map((text) => text.replaceAll(/[[\]]/g, ""))).toEqual([before, after]);
    expect(Math.max(count(from), count(to))).toBeLessThanOrEqual(
      Math.max(...expected.map((text) => count(text))),
    );
    if (before.length <= 5) expect([from, to]).toEqual(expected);
  });
});

describe("report.caption-sheet", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ranflow-sheets-"));
  });
  async function draw(rows: readonly TableRow[], params: JsonObject = {}) {
    const report = join(await mkdtemp(join(folder, "report-")), "rows");
    await writeTable(report, rows);
    const run = await runNode(reportCaptionSheet, { folder, params, inputs: { report } });
    return {
      run,
      markdown: await readFile(fileOf(run, "sheet.md"), "utf8"),
      svg: await readFile(fileOf(run, "figure.svg"), "utf8"),
      sheet: JSON.parse(await readFile(fileOf(run, "figure.json"), "utf8")) as {
        rows: { id: string; before: { text: string; changed: boolean }[] }[];
      },
    };
  }
  const row = (id: string, caption: string, rewrite: string, wmr = 0.5): TableRow => ({
    id,
    caption,
    rewrite,
    wmr,
    by: "openai (m)",
    attempts: 1,
    rejected: null,
  });

  it("marks changed words, struck out before and bold after", async () => {
    const { markdown, svg } = await draw([row("p1", "a large left effusion", "a small right effusion")], {
      title: "Figure 3",
    });
    expect(markdown).toContain("- before: a ~~large left~~ effusion\n- after: a **small right** effusion\n");
    expect(markdown).toContain("p1 (50 % of the words, openai (m))");
    expect(markdown).toContain("```text\nThe original caption of a radiology image is");
    expect(svg).toMatch(/a <tspan text-decoration="line-through"[^>]*>large left<\/tspan> effusion/);
    expect(svg).toMatch(/a <tspan [^>]*font-weight="bold">small right<\/tspan> effusion/);
  });

  it("takes captions and prompts for text, whatever they hold", async () => {
    const nasty =
      '<script>alert(1)</script> **bold** ~~gone~~ [link](javascript:x) & `code` \u0007 "q" _em_ a_b';
    const { markdown, svg, run } = await draw([row("<b>&", nasty, `${nasty} new`)], {
      prompt: "```\n<img src=x onerror=alert(1)>\n```",
    });
    expect(markdown).not.toMatch(/(?<!\\)<script/);
    expect(markdown).toContain(
      "\\<script\\>alert(1)\\</script\\> \\*\\*bold\\*\\* \\~\\~gone\\~\\~ \\[link\\](javascript:x) &amp; \\`code\\`",
    );
    expect(markdown).toContain("\\_em\\_ a_b");
    expect(markdown).toContain("````text\n```\n<img src=x onerror=alert(1)>\n```\n````");
    expect(svg).not.toMatch(/<script|<img|<b>/);
    expect(svg).not.toContain("\u0007");
    expect(svg).toContain("&lt;script&gt;");
    expect((await sharp(fileOf(run, "figure.png")).metadata()).width).toBe(2000);
  });

  it("breaks long captions and endless words into lines", async () => {
    const { svg } = await draw([row("p", "lung ".repeat(60), `${"x".repeat(200)} end`)], { prompt: "" });
    const lines = [...svg.matchAll(/<text [^>]*>(.*)<\/text>/g)].map(([, text]) =>
      text!.replaceAll(/<[^>]*>/g, ""),
    );
    expect(lines.every((line) => line.length <= 62)).toBe(true);
    expect(lines.join("").match(/lung/g)).toHaveLength(60);
    expect(lines.join("").match(/x/g)).toHaveLength(200);
  });

  it("shows the first captions that changed, or those that are asked for", async () => {
    const rows = [
      row("p0", "same", "same", 0),
      row("p1", "a", "b"),
      row("p2", "c", "d"),
      row("p3", "e", "f"),
    ];
    const first = await draw(rows, { count: 2 });
    expect(first.sheet.rows.map(({ id }) => id)).toEqual(["p1", "p2"]);
    const asked = await draw(rows, { ids: ["p3", "p0"] });
    expect(asked.sheet.rows.map(({ id }) => id)).toEqual(["p3", "p0"]);
    const empty = await draw(rows.slice(0, 1));
    expect(empty.sheet.rows).toEqual([]);
    for (const text of [empty.svg, empty.markdown]) expect(text).toContain("No caption was rewritten.");
    await expect(draw([{ id: "p0", caption: "a" }])).rejects.toThrow("does not say id, caption, rewrite");
  });

  it("takes the report of the attack as it is", async () => {
    const rewritten = await runNode(attackCaptionLlm, {
      folder: world.folder,
      inputs: { pairs: world.pairs },
    });
    const { sheet } = await draw(await readTable(rewritten.outputs["report"]!));
    expect(sheet.rows).toHaveLength(6);
    for (const { before } of sheet.rows) expect(before.some(({ changed }) => changed)).toBe(true);
  });
});
