import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { learnWordPieces } from "../../nodes/text/learn-word-pieces.ts";
import { createWordPieceTokenizer } from "../../nodes/text/wordpiece.ts";
import { readWordPieceVocabulary } from "../../nodes/text/wordpiece-vocabulary.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-wordpiece-"));
});
afterAll(() => rm(folder, { recursive: true }));

// The marks where PubMedBERT has them; a vocabulary's order is its ids.
const vocabulary = [
  "[PAD]",
  "[UNK]",
  "[CLS]",
  "[SEP]",
  "[MASK]",
  "chest",
  "x",
  "-",
  "ray",
  "##s",
  "σοφοσ",
  "中",
];

describe("createWordPieceTokenizer", () => {
  const words = (text: string, contextLength = 12): string[] => {
    const ids = createWordPieceTokenizer({ vocabulary, contextLength }).encode(text);
    return Array.from(ids, (id) => vocabulary[id]!);
  };

  it("splits at white space and punctuation, takes the longest pieces, and fills up", () => {
    expect(words("Chest X-rays", 8)).toEqual(["[CLS]", "chest", "x", "-", "ray", "##s", "[SEP]", "[PAD]"]);
  });

  it("drops accents and control characters, lower-cases by the character, sets ideographs apart", () => {
    expect(words("CHÉ\u0000ST ΣΟΦΟΣ x中x", 8)).toEqual([
      "[CLS]",
      "chest",
      "σοφοσ",
      "x",
      "中",
      "x",
      "[SEP]",
      "[PAD]",
    ]);
  });

  it("knows the marks, and takes what it does not know whole", () => {
    expect(words("x[MASK]ray [mask] chestnut", 12).slice(1, 8)).toEqual([
      "x",
      "[MASK]",
      "ray",
      "[UNK]",
      "[UNK]",
      "[UNK]",
      "[UNK]",
    ]);
    expect(words("x".repeat(101), 3)).toEqual(["[CLS]", "[UNK]", "[SEP]"]);
  });

  it("keeps the end of a text that is too long", () => {
    const tokenizer = createWordPieceTokenizer({ vocabulary, contextLength: 4 });
    expect([...tokenizer.encodeBatch(["x x x x", "ray"])]).toEqual([2, 6, 6, 3, 2, 8, 3, 0]);
  });
});

describe("learnWordPieces", () => {
  const marks = vocabulary.slice(0, 5);

  it("has marks, characters, then pairs by how often they occur", () => {
    // a ##b ##a twice, a ##b once: `a ##b` comes first, then `ab ##a`; no other pair is there twice.
    const characters = ["##a", "##b", "a", "b"];
    expect(learnWordPieces(["Aba aba", "ab"], 100)).toEqual([...marks, ...characters, "ab", "aba"]);
    expect(learnWordPieces(["Aba aba", "ab"], 10)).toEqual([...marks, ...characters, "ab"]);
  });

  it("covers what it was learned from, whatever the order", () => {
    const captions = ["Chest X-ray (AP): no effusion.", "The chest CT shows a nodule, 5 × 4 mm", "Größe"];
    const learned = learnWordPieces(captions, 200);
    expect(learnWordPieces(captions.toReversed(), 200)).toEqual(learned);
    const { encodeBatch, cls, sep, pad } = createWordPieceTokenizer({
      vocabulary: learned,
      contextLength: 80,
    });
    const ids = new Set(encodeBatch(captions));
    expect(ids.has(learned.indexOf("[UNK]"))).toBe(false);
    expect(ids.size).toBeGreaterThan(20);
    for (const id of [cls, sep, pad]) expect(ids.has(id)).toBe(true);
  });

  it("says where there is nothing to learn from, or no room", () => {
    expect(() => learnWordPieces([" "], 100)).toThrow("no words in the captions");
    expect(() => learnWordPieces(["chest"], 9)).toThrow("no room for the 14 marks and characters");
  });
});

describe("readWordPieceVocabulary", () => {
  it("reads vocab.txt and tokenizer.json, by file or from the folder", async () => {
    await writeFile(join(folder, "vocab.txt"), `${vocabulary.join("\r\n")}\r\n`);
    expect(await readWordPieceVocabulary(folder)).toEqual(vocabulary);
    const json = join(folder, "tokenizer.json");
    const vocab = Object.fromEntries(vocabulary.map((token, id) => [token, id]));
    await writeFile(json, JSON.stringify({ model: { type: "WordPiece", vocab } }));
    expect(await readWordPieceVocabulary(json)).toEqual(vocabulary);
  });

  it.each([
    ["missing.txt", undefined, /there is no vocabulary at/],
    ["other.txt", "a\nb\n", /lacks \[PAD\], \[UNK\]/],
    ["no.json", "{", /it is not JSON/],
    ["list.json", '{"model":{"vocab":[]}}', /has no model\.vocab/],
    ["gap.json", '{"model":{"vocab":{"a":5}}}', /the id of "a" is 5/],
  ])("says what is wrong (%s)", async (name, content, message) => {
    const path = join(folder, name);
    if (content !== undefined) await writeFile(path, content);
    await expect(readWordPieceVocabulary(path)).rejects.toThrow(message);
    await expect(readWordPieceVocabulary(path)).rejects.toMatchObject({
      hint: expect.stringContaining("vocab.txt"),
    });
  });
});
