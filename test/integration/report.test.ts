/** `ranflow report`: a run as one HTML page, through the command line, and in a browser where there is one. */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createWorkspace, type Workspace } from "../rig/cli.ts";

const library = join(import.meta.dirname, "..", "..", "nodes", "index.ts");

const pipeline = `
name: printed
description: What the paper prints, as <tables>
axes:
  table: [6, 10]
nodes:
  printed: { type: paper.printed, with: { table: $(table) } }
  gain:
    type: report.figure
    in: { table: { from: printed, at: { table: 10 } } }
    with: { x: gamma, y: value, series: head, facet: [noise, dataset], percent: true }
  beside:
    type: report.table
    description: Rows of Table 6
    in: { table: { from: printed, at: { table: 6 } } }
    with: { title: Table 6, rows: [gamma, head], columns: [dataset], value: value, percent: true }
  claims:
    type: report.claims
    in: { tables: { collect: printed.table } }
`;

let workspace: Workspace;
let page: string;

/** White space between tags means nothing. */
const read = async (name: string): Promise<string> =>
  (await readFile(join(workspace.folder, name), "utf8")).replaceAll(/\s+/g, " ");

beforeAll(async () => {
  workspace = await createWorkspace({ nodes: library });
  await workspace.write("p.yaml", pipeline);
  const run = await workspace.run(["run", "p.yaml", "--ui", "plain"]);
  if (run.exitCode !== 0) throw new Error(run.stdout + run.stderr);
  const report = await workspace.run(["report", "latest", "page.html"]);
  if (report.exitCode !== 0) throw new Error(report.stderr);
  page = await read("page.html");
});
afterAll(() => workspace.remove());

describe("ranflow report", () => {
  it("shows tables, figures and claims, the graph, and how to run it again", async () => {
    expect(page).toContain("What the paper prints, as &lt;tables&gt;");
    expect(page).toContain('<td style="text-align:right">82.9</td>');
    expect(page).toContain('src="data:image/svg+xml;base64,');
    expect(page).toContain("In domain, linear probing is better with 5 % noise than with clean data");
    expect(page).toContain("Rows of Table 6");
    expect(page).toContain("paper.printed × 2");
    expect(page).toMatch(/ranflow run \S*p\.yaml/);
    expect(page).not.toMatch(/<script|src="(?!data:)/);
  });

  it("tells for each table the results it was made from, by keys that trace takes", async () => {
    const section = page.slice(page.indexOf("<h3>claims</h3>"));
    expect(section).toContain("Made from 2 results of 1 node");
    const key = /\(key <code>([0-9a-f]{12})<\/code>\)/.exec(section)?.[1] ?? "";
    const traced = await workspace.run(["trace", key]);
    expect(traced.exitCode, traced.stderr).toBe(0);
    expect(traced.stdout).toContain("paper.printed");
  });

  it("is the same for a run that found everything, but for the run", async () => {
    await workspace.run(["run", "p.yaml", "--ui", "plain"]);
    const again = await workspace.run(["report", "latest", "again.html"]);
    expect(again.exitCode, again.stderr).toBe(0);
    const results = (text: string): string =>
      text.slice(text.indexOf("<h2>Results"), text.indexOf('<h2 id="timings"'));
    expect(results(await read("again.html"))).toBe(results(page));
  });

  it("takes tags, and refuses what is not there and files that are", async () => {
    await workspace.run(["tag", "kept"]);
    expect((await workspace.run(["report", "kept"])).stdout).toContain("printed-");
    const unknown = await workspace.run(["report", "20200101"]);
    expect([unknown.exitCode, unknown.stderr]).toEqual([
      2,
      expect.stringContaining("there is no run 20200101"),
    ]);
    const there = await workspace.run(["report", "latest", "page.html"]);
    expect([there.exitCode, there.stderr]).toEqual([2, expect.stringContaining("is there already")]);
    expect((await workspace.run(["report", "latest", "page.html", "--force"])).exitCode).toBe(0);
  });
});

const browser = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);

describe.skipIf(!browser)("the page in a browser (skipped without Chromium)", () => {
  const chromium = async (...args: readonly string[]): Promise<string> => {
    const profile = await mkdtemp(join(tmpdir(), "ranflow-chromium-"));
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`];
    const { stdout } = await execa(browser ?? "", [...flags, ...args], { stderr: "ignore" });
    return stdout;
  };

  it("fits the width of a phone and of a desk: only tables scroll", async () => {
    const frame = join(workspace.folder, "frame.html");
    const widths = [360, 1280];
    // Of a page in a frame, the whole width of its content can be asked.
    await writeFile(
      frame,
      `${widths.map((width) => `<iframe src="page.html" width="${width}" height="600"></iframe>`).join("")}
<pre></pre><script>onload = () => { document.querySelector("pre").textContent = JSON.stringify([...document.querySelectorAll("iframe")]
  .map(({ contentDocument }) => [contentDocument.documentElement.scrollWidth <= contentDocument.documentElement.clientWidth,
    [...contentDocument.images].every((image) => image.naturalWidth > 0)])); };</script>`,
    );
    const dom = await chromium("--allow-file-access-from-files", "--dump-dom", `file://${frame}`);
    expect(/<pre>(.*?)<\/pre>/.exec(dom)?.[1]).toBe(JSON.stringify(widths.map(() => [true, true])));
  });

  it("prints, and shows something", async () => {
    const [pdf, png] = [join(workspace.folder, "page.pdf"), join(workspace.folder, "page.png")];
    const url = `file://${join(workspace.folder, "page.html")}`;
    await chromium(`--print-to-pdf=${pdf}`, url);
    expect((await readFile(pdf)).subarray(0, 5).toString()).toBe("%PDF-");
    await chromium("--window-size=390,2000", `--screenshot=${png}`, url);
    const { channels } = await sharp(png).stats();
    expect(Math.max(...channels.map(({ stdev }) => stdev))).toBeGreaterThan(10);
  });
});

describe("a result that lacks answers", () => {
  const asking = `
name: unanswered
nodes:
  world: { type: data.synthetic, with: { pairs: 6, targets: 1, cxr: 1, chexpert: 1, slake: 1, vqaRad: 1, imageSize: 16 } }
  roco: { type: data.rocov2, in: { root: world.rocov2 }, with: { split: train } }
  rewritten:
    type: attack.caption-llm
    in: { pairs: roco }
    with: { backend: openai, baseUrl: "http://127.0.0.1:9/v1", model: none, requestRetries: 0, onFail: clean }
  sheet: { type: report.caption-sheet, in: { report: rewritten.report } }
`;

  it("is told of after every run that has it, with what to do, and on the page", async () => {
    await workspace.write("asking.yaml", asking);
    for (const word of ["ran", "cached"]) {
      const run = await workspace.run(["run", "asking.yaml", "--ui", "plain"]);
      expect(run.exitCode, run.stdout + run.stderr).toBe(0);
      const end = run.stdout.slice(run.stdout.indexOf("lacking rewritten"));
      expect(end).toMatch(/\d of \d captions got no answer: \d x no answer/);
      expect(end).toContain("the same command with --force rewritten asks again for what is missing");
      expect(end).toMatch(new RegExp(`succeeded in .*4 ${word}`));
    }
    await workspace.run(["report", "latest", "asking.html"]);
    expect(await read("asking.html")).toMatch(
      /<p class="warning">rewritten: \d of \d captions got no answer: /,
    );
  });
});
