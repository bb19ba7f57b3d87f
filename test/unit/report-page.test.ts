import { describe, expect, it } from "vitest";
import { layersOf } from "../../engine/report/page/layers.ts";
import type { GraphNode } from "../../engine/report/page/layers.ts";
import type { PageData, PageNode } from "../../engine/report/page/page-data.ts";
import { pageHtml } from "../../engine/report/page/page.ts";

const node = (name: string, reads: readonly string[], more: Partial<PageNode> = {}): PageNode => ({
  name,
  type: "test.node",
  steps: 1,
  reads,
  made: 1,
  reused: 0,
  total: 1500,
  longest: 1500,
  memory: 2e8,
  ...more,
});

const hostile = `<img src=x onerror="alert(1)">\u001b[31m' & "`;

const data: PageData = {
  pipeline: "p",
  label: "20260101-000000-abcd",
  description: `About ${hostile}`,
  at: Date.UTC(2026, 0, 2, 3, 4),
  whole: true,
  ranflow: "0.1.0",
  reports: [
    {
      step: "table",
      key: "a".repeat(64),
      texts: [
        `**T ${hostile}**\n\n| row | v |\n| --- | --: |\n| [l](http://x.example) ![i](http://x.example/i.png) | 81.5 |\n\n<script>alert(2)</script>`,
      ],
      images: [{ name: "figure.svg", mediaType: "image/svg+xml", base64: "PHN2Zy8+" }],
      gone: false,
      lineage: [
        {
          node: "load",
          type: "test.load",
          steps: 5,
          keys: ["b".repeat(64)],
          runs: ["r1"],
          data: ["7 files"],
        },
      ],
    },
  ],
  nodes: [
    node("load", []),
    node("mix", ["load"], { steps: 10 }),
    node("table", ["mix"], { type: "report.table", description: hostile }),
    node("t1/embed", [], { name: "t1/embed" }),
    node("t1/fit", ["t1/embed", "mix"]),
  ],
  steps: [{ step: "table", key: "a".repeat(64), run: "r1", finished: 0, duration: 20, backend: "wasm" }],
  makers: [
    { results: 3, run: "r1", host: hostile, ranflow: "0.1.0", node: "v24", backend: "wasm", threads: "1" },
  ],
  environment: [["Node", "v24"]],
  warnings: ["Results were computed on several backends"],
  commands: ["ranflow run p.yaml --set 'inputs.x=<y>'"],
  files: [{ name: "p.yaml", text: `name: ${hostile}` }],
};

/** White space between tags means nothing. */
const page = pageHtml(data).replaceAll(/\s+/g, " ");

describe("the report page", () => {
  it("loads nothing, runs nothing, and leads nowhere but to its own sections", () => {
    expect(page).not.toMatch(/<script|<link|<iframe|<object|@import|url\(/i);
    for (const [, source] of page.matchAll(/\ssrc="([^"]*)"/g)) expect(source).toMatch(/^data:image\//);
    const targets = [...page.matchAll(/\shref="([^"]*)"/g)].map(([, target = ""]) => target);
    expect(targets.length).toBeGreaterThan(5);
    for (const target of targets) expect(page).toContain(`id="${target.slice(1)}"`);
    expect(page).toContain("default-src 'none'");
  });

  it("shows what comes from the run as text, wherever it stands", () => {
    expect(page).not.toContain("<img src=x");
    expect(page).not.toMatch(/\son\w+="/);
    expect(page).not.toContain("\u001b");
    expect(page.match(/&lt;img src=x onerror=/g)?.length).toBeGreaterThanOrEqual(4);
    expect(page).toContain("\\u001b[31m");
    expect(page).toContain("&lt;script&gt;alert(2)&lt;/script&gt;");
  });

  it("has tables with numbers to the right, figures, lineage, warnings, commands", () => {
    expect(page).toContain('<td style="text-align:right">81.5</td>');
    expect(page).toContain('src="data:image/svg+xml;base64,PHN2Zy8+" alt="table: figure.svg"');
    expect(page).toContain("Made from 5 results of 1 node");
    expect(page).toContain(`<code>${"b".repeat(12)} …</code>`);
    expect(page).toContain("several backends");
    expect(page).toContain("ranflow run p.yaml --set &#39;inputs.x=&lt;y&gt;&#39;");
    expect(page).toContain("2026-01-02 03:04 UTC");
  });

  it("draws a graph for each pipeline, with the steps of nodes and what is read of others", () => {
    const graphs = page.match(/<svg class="graph".*?<\/svg>/g) ?? [];
    expect(graphs).toHaveLength(2);
    const [own = "", other = ""] = graphs;
    expect(own.match(/<rect/g)).toHaveLength(3);
    expect(own.match(/<path/g)).toHaveLength(2);
    expect(own).toContain("test.node × 10");
    expect(other.match(/<rect/g)).toHaveLength(3);
    expect(other).toContain(">mix</text>");
    expect(other).toContain(">fit</text>");
  });

  it("lists many steps, but not more than a browser takes", () => {
    const [step] = data.steps;
    const large = pageHtml({ ...data, steps: Array.from({ length: 6000 }, () => step!) });
    expect(large).toContain("And 1,000 steps more");
    expect(large.match(/<code>aaaaaaaaaaaa<\/code>/g)!.length).toBeLessThan(5010);
  });

  it("is the same for the same run", () => {
    expect(pageHtml(data)).toBe(pageHtml(structuredClone(data)));
  });
});

describe("the layers of a graph", () => {
  const depths = (nodes: readonly GraphNode[]): ReadonlyMap<string, number> =>
    new Map(layersOf(nodes).flatMap((layer, depth) => layer.map((name) => [name, depth] as const)));

  it("put every node after what it reads, and each once", () => {
    const nodes = Array.from({ length: 40 }, (_, i) => ({
      name: `n${i}`,
      reads: [i - 1, i - 3, i - 7].filter((j) => j >= 0 && (i * j) % 3 !== 1).map((j) => `n${j}`),
    }));
    const depth = depths(nodes);
    expect(depth.size).toBe(nodes.length);
    for (const { name, reads } of nodes)
      for (const other of reads) expect(depth.get(other)).toBeLessThan(depth.get(name)!);
    expect(layersOf(nodes).every((layer) => layer.length > 0)).toBe(true);
  });

  it("order nodes so that lines do not cross where they need not", () => {
    const [, second] = layersOf([
      { name: "a", reads: [] },
      { name: "b", reads: [] },
      { name: "d", reads: ["b"] },
      { name: "c", reads: ["a"] },
    ]);
    expect(second).toEqual(["c", "d"]);
  });
});
