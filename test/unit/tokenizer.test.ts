import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cleanCaption, fixText } from "../../nodes/text/clean.ts";
import { createClipTokenizer } from "../../nodes/text/clip-tokenizer.ts";
import { unescapeHtml } from "../../nodes/text/html.ts";
import { learnMerges } from "../../nodes/text/learn-merges.ts";
import { readMerges, writeMerges } from "../../nodes/text/merges.ts";
import fc from "../rig/fast-check.ts";

const captions = [
  "Chest X-ray showing pleural effusion in the left lung.",
  "Chest X-ray showing a nodule in the right lung.",
  "Axial CT of the chest, no effusion; 12 mm nodule (arrow).",
];

describe("cleanCaption", () => {
  it.each([
    ["curly quotes", "“ground-glass” patient’s", `"ground-glass" patient's`],
    ["ligatures", "conﬁrmed ﬂow", "confirmed flow"],
    ["full-width forms", "ＣＴ　１２", "ct 12"],
    ["UTF-8 read as Windows-1252", "SchÃ¶n â€œxâ€\u009d 37Â°C", 'schön "x" 37°c'],
    ["the same twice over", "schÃƒÂ¶n", "schön"],
    ["Cyrillic read as Windows-1252", "Ð³Ñ€ÑƒÐ´ÑŒ", "грудь"],
    ["accents that belong there", "café, Ångström, ÎLE, SÃO ÂME", "café, ångström, île, são âme"],
    ["Windows-1252 read as Latin-1", "wait\u0085", "wait…"],
    ["combining accents", "cafe\u0301", "café"],
    ["control characters and terminal colours", "a\u0000b\u001b[31mc\u007f\ufeff", "abc"],
    ["line breaks and white space", " a\r\nb\u2028c\u00a0\u3000d ", "a b c d"],
    ["lone surrogates", "a\ud800b", "a\ufffdb"],
    ["HTML escaped twice", "T2 &amp;lt; 5 &copy 2020 &#x2264;", "t2 < 5 © 2020 ≤"],
    ["entities before quotes are straightened, and not in HTML", "&#8217;s\n<b>&#8217;s", "'s <b>’s"],
  ])("%s", (_, text, cleaned) => {
    expect(cleanCaption(text)).toBe(cleaned);
  });

  it("leaves plain text as it is", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9.,;:()%/+-]{0,40}$/), (text) => {
        expect(fixText(text)).toBe(text);
      }),
    );
  });

  it("is done after one pass, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 40 }), (text) => {
        const fixed = fixText(text);
        expect(fixText(fixed)).toBe(fixed);
      }),
    );
  });
});

describe("unescapeHtml", () => {
  it.each([
    ["&notit;", "¬it;"],
    ["&unknown;", "&unknown;"],
    ["&#150;", "–"],
    ["&#0;&#xD800;&#x110000;", "\ufffd\ufffd\ufffd"],
    ["&#1;&#xFFFF;", ""],
    ["&#65&#x42;", "AB"],
    ["&", "&"],
    ["&#;", "&#;"],
  ])("%s", (text, decoded) => {
    expect(unescapeHtml(text)).toBe(decoded);
  });
});

describe("createClipTokenizer", () => {
  const merges = ["l u", "n g</w>", "lu ng</w>"];
  const tokenizer = createClipTokenizer({ merges, contextLength: 8 });

  it("numbers 512 symbols, the merges, the start mark and the end mark", () => {
    expect(tokenizer).toMatchObject({ vocabSize: 517, sot: 515, eot: 516 });
  });

  it("merges by rank, marks ends of words, pads with zeros", () => {
    // "a" is the 65th visible character; with the end of the word, 256 further on.
    const a = "a".charCodeAt(0) - 0x21;
    expect([...tokenizer.encode("Lung a")]).toEqual([515, 514, 256 + a, 516, 0, 0, 0, 0]);
    expect([...tokenizer.encode("")]).toEqual([515, 516, 0, 0, 0, 0, 0, 0]);
  });

  it("keeps the end mark when it cuts", () => {
    const cut = [...tokenizer.encode("lung lung lung lung lung lung lung lung")];
    expect(cut).toEqual([515, 514, 514, 514, 514, 514, 514, 516]);
    const full = [...tokenizer.encode("lung lung lung lung lung lung")];
    expect(full).toEqual([515, 514, 514, 514, 514, 514, 514, 516]);
  });

  it("takes the marks written out for the marks", () => {
    expect([...tokenizer.encode("<start_of_text> lung <end_of_text>")].slice(0, 5)).toEqual([
      515, 515, 514, 516, 516,
    ]);
  });

  it("encodes a batch row by row", () => {
    const texts = ["lung", "", "no lung"];
    expect([...tokenizer.encodeBatch(texts)]).toEqual(texts.flatMap((text) => [...tokenizer.encode(text)]));
  });
});

describe("learnMerges", () => {
  it("covers frequent words by one id each, and anything else by bytes", () => {
    const tokenizer = createClipTokenizer({ merges: learnMerges(captions, 700), contextLength: 77 });
    const length = (text: string): number => tokenizer.encode(text).indexOf(tokenizer.eot) - 1;
    expect(length("chest lung nodule effusion")).toBe(4);
    expect(length("肺")).toBe(3);
  });

  it("does not depend on the order of the captions", () => {
    expect(learnMerges(captions.toReversed(), 600)).toEqual(learnMerges(captions, 600));
  });

  it("begins with the same merges whatever the size", () => {
    const many = learnMerges(captions, 600);
    expect(learnMerges(captions, 520)).toEqual(many.slice(0, 6));
  });

  it("stops where no pair occurs twice", () => {
    expect(learnMerges(["ab ab cd"], 10_000)).toEqual(["a b</w>"]);
  });

  it("counts pairs as a count from scratch does", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[ab]{1,6}$/), { minLength: 1, maxLength: 12 }), (words) => {
        const merges = learnMerges(words, 530);
        for (let known = 0; known <= merges.length; known++)
          expect(merges[known]).toBe(mostFrequentPair(words, merges.slice(0, known)));
      }),
    );
  });

  it("refuses sizes without room, and captions without words", () => {
    expect(() => learnMerges(captions, 513)).toThrow("no room");
    expect(() => learnMerges(["", "  "], 600)).toThrow("no words");
  });
});

/** The next merge by the definition: apply the known ones to every word, count, take the most frequent pair. */
function mostFrequentPair(words: readonly string[], merges: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const word of words) {
    let symbols = [...word].map((letter, i) => (i === word.length - 1 ? `${letter}</w>` : letter));
    for (const merge of merges) {
      const [left, right] = merge.split(" ") as [string, string];
      const merged: string[] = [];
      while (symbols.length > 0) {
        const pair = symbols[0] === left && symbols[1] === right;
        merged.push(symbols.splice(0, pair ? 2 : 1).join(""));
      }
      symbols = merged;
    }
    for (let i = 0; i + 1 < symbols.length; i++) {
      const pair = `${symbols[i]} ${symbols[i + 1]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
  }
  const order = (a: string, b: string): number => (a < b ? -1 : 1);
  return [...counts]
    .filter(([, count]) => count > 1)
    .toSorted(([pairA, a], [pairB, b]) => b - a || order(pairA, pairB))[0]?.[0];
}

describe("readMerges", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ranflow-merges-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const merges = ["i n", "t h", "# version"];
  async function file(name: string, content: string | Buffer): Promise<string> {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, name), content);
    return join(folder, name);
  }

  it("reads back what was written, as a file or from its folder", async () => {
    await writeMerges(join(folder, "merges.txt"), merges);
    expect(await readMerges(join(folder, "merges.txt"))).toEqual(merges);
    expect(await readMerges(folder)).toEqual(merges);
  });

  it("cuts OpenAI's list to the 48,894 merges that CLIP uses", async () => {
    const many = Array.from({ length: 50_000 }, (_, i) => `a b${i}`);
    const listed = gzipSync(`"bpe_simple_vocab_16e6.txt#version: 0.2\n${many.join("\n")}\n`);
    expect(await readMerges(await file("bpe_simple_vocab_16e6.txt.gz", listed))).toEqual(
      many.slice(0, 48_894),
    );
  });

  it("reads both spellings of a tokenizer.json", async () => {
    for (const spelling of [merges, merges.map((merge) => merge.split(" "))]) {
      const json = await file("tokenizer.json", JSON.stringify({ model: { type: "BPE", merges: spelling } }));
      expect(await readMerges(json)).toEqual(merges);
    }
  });

  it.each([
    ["a file that is missing", "none.txt", undefined, "there is no vocabulary at"],
    ["a line that is no pair", "merges.txt", "#version: 0.2\na b\nabc\n", "line 3 is not two symbols"],
    ["an empty list", "merges.txt", "#version: 0.2\n", "it lists no merges"],
    ["a cut archive", "v.txt.gz", gzipSync("a b\n".repeat(5000)).subarray(0, 40), "cannot be inflated"],
    [
      "a tokeniser of another kind",
      "tokenizer.json",
      '{"model":{"type":"WordPiece"}}',
      "no list model.merges",
    ],
    ["no JSON", "tokenizer.json", "{", "it is not JSON"],
    ["a merge that is no pair", "tokenizer.json", '{"model":{"merges":["a b", 3]}}', "model.merges[1]"],
  ])("refuses %s", async (_, name, content, message) => {
    const path = content === undefined ? join(folder, name) : await file(name, content);
    await expect(readMerges(path)).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringContaining(message),
      hint: expect.any(String),
    });
  });

  it("says what a folder without a vocabulary should hold", async () => {
    await expect(readMerges(folder)).rejects.toMatchObject({
      hint: expect.stringContaining("tokenizer.json"),
    });
  });
});
