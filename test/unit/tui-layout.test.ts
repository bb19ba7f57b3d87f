import stringWidth from "string-width";
import { describe, expect, it } from "vitest";
import type { StepPhase } from "../../engine/model/run-state.ts";
import { bar, sparkline } from "../../engine/tui/bar.ts";
import { layout, nodeColumns, stripHeights, windowOf } from "../../engine/tui/layout.ts";
import type { Demand, Layout } from "../../engine/tui/layout.ts";
import { cellColors, createLook, hasColor, isUnicodeTerminal } from "../../engine/tui/look.ts";
import { fitSpans, justified, plain, spansWidth } from "../../engine/tui/spans.ts";
import { stripOf, stripRows } from "../../engine/tui/strip.ts";
import { cut, shortId, textWidth, wrapText } from "../../engine/tui/text.ts";
import fc from "../rig/fast-check.ts";

const look = createLook({ unicode: true, color: true });

const demands: fc.Arbitrary<Demand> = fc.record({
  width: fc.integer({ min: 1, max: 300 }),
  height: fc.integer({ min: 1, max: 120 }),
  nodes: fc.array(fc.integer({ min: 0, max: 10_000 }), { maxLength: 60 }),
  running: fc.nat({ max: 64 }),
  failed: fc.nat({ max: 500 }),
  queued: fc.nat({ max: 10_000 }),
  timed: fc.nat({ max: 60 }),
});

/** Rows of a column: each pane with its title, those that stand apart with the row above. */
function columnRows(at: Layout, panes: readonly (keyof Layout)[]): number {
  return panes.reduce((sum, name) => {
    const { rows } = at[name] as { readonly rows: number };
    const title = name === "queue" || name === "time" ? 2 : 1;
    return sum + (rows > 0 ? rows + title : 0);
  }, 0);
}

describe("layout", () => {
  it("never needs more rows than the terminal has, less one", () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const at = layout(demand);
        expect(at.rows).toBe(Math.max(1, demand.height - 1));
        const columns =
          at.columns === 1
            ? [columnRows(at, ["nodes", "failed", "running", "log"])]
            : [columnRows(at, ["nodes", "queue", "time"]), columnRows(at, ["failed", "running", "log"])];
        for (const rows of columns) expect(rows).toBeLessThanOrEqual(at.body);
        if (at.columns === 2) expect(at.nodes.width + 3 + at.log.width).toBe(at.width);
      }),
      { numRuns: 500 },
    );
  });

  it("at 80 x 24 shows nodes, what runs and some log; failures when there are any", () => {
    const demand = {
      width: 80,
      height: 24,
      nodes: Array(13).fill(20),
      running: 4,
      failed: 0,
      queued: 9,
      timed: 3,
    };
    const calm = layout(demand);
    expect([calm.nodes.rows, calm.failed.rows, calm.running.rows, calm.log.rows]).toEqual([10, 0, 4, 3]);
    const failing = layout({ ...demand, failed: 3 });
    expect(failing.failed.rows).toBeGreaterThanOrEqual(2);
    expect(failing.nodes.rows).toBeGreaterThanOrEqual(6);
    expect(failing.log.rows).toBeGreaterThanOrEqual(2);
  });

  it("at 200 x 50 has two columns, with queue and time", () => {
    const at = layout({
      width: 200,
      height: 50,
      nodes: Array(13).fill(20),
      running: 4,
      failed: 2,
      queued: 9,
      timed: 3,
    });
    expect(at.columns).toBe(2);
    expect([at.queue.rows, at.time.rows, at.running.rows, at.failed.rows]).toEqual([8, 3, 4, 4]);
    expect(at.log.rows).toBeGreaterThan(20);
  });

  it("gives strips more rows only where all nodes keep one", () => {
    expect(stripHeights([300, 1, 60], 50, 20)).toEqual([6, 1, 2]);
    expect(stripHeights([300, 1, 60], 50, 4)).toEqual([1, 1, 1]);
    expect(stripHeights([300, 1, 60], 50, 5)).toEqual([2, 1, 2]);
  });

  it("divides node rows of any width", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 80 }), (width, longest) => {
        const { name, cells, counts } = nodeColumns(width, longest);
        expect(Math.min(name, cells)).toBeGreaterThanOrEqual(1);
        if (width >= 20) expect(3 + name + cells + counts).toBe(width);
      }),
    );
  });

  it("keeps the selected row in the window", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 60 }),
        fc.nat(),
        (count, rows, pick) => {
          const selected = pick % count;
          const { from, to } = windowOf(count, rows, selected);
          expect(from).toBeLessThanOrEqual(selected);
          expect(to).toBeGreaterThan(selected);
          expect(to - from).toBe(Math.min(rows, count));
        },
      ),
    );
  });
});

describe("strip", () => {
  const phases = (text: string): StepPhase[] =>
    [...text].map((char) => {
      const found = Object.entries(look.glyphs.cell).find(([, glyph]) => glyph === char);
      return found?.[0] as StepPhase;
    });
  const drawn = (text: string, most: number): string =>
    stripRows(stripOf(phases(text), most), { width: most, look })
      .flat()
      .map((span) => span.text)
      .join("");

  it("is one cell for each step where they fit", () => {
    expect(drawn("■□▣◆○·✗–⊗", 9)).toBe("■□▣◆○·✗–⊗");
  });

  it.each([
    ["■■■■■✗■■", 4, "■■✗■"],
    ["■■◆○○○··", 4, "■◆○·"],
    ["■·■○", 2, "▒▒"],
    ["■□□□▣▣", 3, "■□▣"],
    ["■■■", 2, "■■"],
  ])("aggregates %s into at most %d cells as %s", (text, most, expected) => {
    expect(drawn(text, most)).toBe(expected);
  });

  it("never has more cells than asked, and loses no failure", () => {
    const anyPhases = fc.array(fc.constantFrom(...phases("■□▣◆○·✗–⊗")), { minLength: 1, maxLength: 2000 });
    fc.assert(
      fc.property(anyPhases, fc.integer({ min: 1, max: 200 }), (list, most) => {
        const { cells, per } = stripOf(list, most);
        expect(cells.length).toBeLessThanOrEqual(most);
        expect(cells.length).toBe(Math.ceil(list.length / per));
        list.forEach((phase, index) => {
          if (phase === "failed") expect(cells[Math.floor(index / per)]).toBe("failed");
        });
      }),
    );
  });

  it("has a glyph of its own for every phase, also in ASCII, one column wide", () => {
    for (const { glyphs } of [look, createLook({ unicode: false, color: false })]) {
      const cells = Object.values(glyphs.cell);
      expect(new Set(cells).size).toBe(cells.length);
      for (const glyph of cells) expect(stringWidth(glyph)).toBe(1);
    }
    expect(new Set(Object.keys(cellColors))).toEqual(new Set(Object.keys(look.glyphs.cell)));
  });
});

describe("text", () => {
  const anyText = fc.string({ unit: "grapheme", maxLength: 60 });

  it("is never wider than asked after a cut", () => {
    fc.assert(
      fc.property(anyText, fc.nat({ max: 40 }), (text, width) => {
        expect(textWidth(cut(text, width, "…"))).toBeLessThanOrEqual(width);
        expect(textWidth(shortId(text, width, "…"))).toBeLessThanOrEqual(width);
      }),
    );
  });

  it("loses nothing when wrapped", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme-ascii", maxLength: 300 }),
        fc.integer({ min: 1, max: 80 }),
        (text, width) => {
          const lines = wrapText(text, width);
          expect(lines.join("")).toBe(text);
          for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(width);
        },
      ),
    );
  });

  it("shortens a step id to its labels before it cuts", () => {
    const id = "finetune[noise=image,gamma=20,head=ran]";
    expect(shortId(id, 39, "…")).toBe(id);
    expect(shortId(id, 30, "…")).toBe("finetune[image,20,ran]");
    expect(shortId(id, 12, "…")).toBe("finetu…,ran]");
  });

  it("fills a row: the right side whole, the left one cut", () => {
    const row = justified([plain("a long title")], [plain("0:07")], 12, "…");
    expect(row.map((span) => span.text).join("")).toBe("a long… 0:07");
    expect(spansWidth(fitSpans([plain("字字字")], 5, "…"))).toBe(5);
  });
});

describe("bar and sparkline", () => {
  const text = (share: number): string =>
    bar(share, 10, look)
      .map((span) => span.text)
      .join("");

  it("is full only when done", () => {
    expect(text(0)).toBe("──────────");
    expect(text(0.999)).toBe("━━━━━━━━━─");
    expect(text(1)).toBe("━━━━━━━━━━");
    expect(text(7)).toBe("━━━━━━━━━━");
  });

  it("spans the whole history, lowest to highest", () => {
    expect(sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8, look)).toBe("█▇▆▅▄▃▂▁");
    expect(
      sparkline(
        Array.from({ length: 100 }, (_, index) => index),
        8,
        look,
      ),
    ).toBe("▁▂▃▄▅▆▇█");
    expect(sparkline([1, Number.NaN, 1], 8, look)).toBe("▅▅");
    expect(sparkline([], 8, look)).toBe("");
  });
});

describe("what the terminal can show", () => {
  it.each([
    [{ LANG: "en_US.UTF-8" }, true],
    [{ LANG: "C.utf8" }, true],
    [{ LC_ALL: "C", LANG: "en_US.UTF-8" }, false],
    [{ LANG: "de_DE.ISO-8859-1" }, false],
    [{}, false],
    [{ LANG: "en_US.UTF-8", TERM: "linux" }, false],
  ])("%j: unicode %s", (env, expected) => {
    expect(isUnicodeTerminal(env, "linux")).toBe(expected);
  });

  it.each([
    [{ TERM: "xterm" }, true],
    [{ TERM: "xterm", NO_COLOR: "1" }, false],
    [{ TERM: "dumb" }, false],
  ])("%j: colour %s", (env, expected) => {
    expect(hasColor(env)).toBe(expected);
  });
});
