/** Tokens of an encoder of one's own, as `data.tokens` reads them: those of a CLIP, written in that layout. */
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { dataTokens } from "../../nodes/data-tokens.ts";
import type { TokensHeader } from "../../nodes/formats.ts";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../../nodes/safetensors.ts";
import { runNode, type NodeRun } from "../rig/run-node.ts";
import { vqaWorld, type VqaWorld } from "../rig/vqa-world.ts";

let world: VqaWorld;
let rows: readonly string[];
let tensors: ReadonlyMap<string, StoredTensor>;

beforeAll(async () => {
  world = await vqaWorld();
  const header = await headerOf(world.tokens.test);
  const stored = (await readSafetensors(join(world.tokens.test, "tokens.safetensors"))).tensors;
  const part = (name: string, from: number, size: number, shape: readonly number[]): StoredTensor => ({
    shape,
    data: (stored.get(name)!.data as Float32Array).slice(from, from + size),
  });
  const [, count = 0, width = 0] = stored.get("image")!.shape;
  const [, textWidth = 0] = stored.get("text")!.shape;
  let start = 0;
  const texts = header.questions.map(({ length }, at): [string, StoredTensor] => {
    const tensor = part("text", start * textWidth, length * textWidth, [length, textWidth]);
    start += length;
    return [`question ${at}`, tensor];
  });
  const images = [...new Set(header.records.map(({ image }) => image))].map(
    (image): [string, StoredTensor] => [
      `image ${image}`,
      part("image", image * count * width, count * width, [count, width]),
    ],
  );
  tensors = new Map([...texts, ...images, ["of another split", { shape: [1], data: Float32Array.of(1) }]]);
  rows = [
    "text,image,id",
    ...header.records.map(({ id, image, question }) => `question ${question},image ${image},${id}`),
    "of another split,of another split,999999",
  ];
});

const headerOf = async (folder: string): Promise<TokensHeader> =>
  JSON.parse(await readFile(join(folder, "tokens.json"), "utf8"));

async function read(
  { table = rows, values = tensors }: { table?: readonly string[]; values?: typeof tensors } = {},
  params = {},
): Promise<NodeRun> {
  const root = await mkdtemp(join(tmpdir(), "ranflow-tokens-"));
  await writeFile(join(root, "tokens.csv"), `${table.join("\n")}\n`);
  await writeSafetensors(join(root, "tokens.safetensors"), values);
  return runNode(dataTokens, {
    params: { root, ...params },
    inputs: { questions: world.questions.test },
    folder: world.folder,
  });
}

describe("data.tokens", () => {
  it("makes of tokens in a table what the encoder here makes of the questions", async () => {
    const { logs, outputs } = await read();
    const [own, expected] = [outputs["tokens"]!, world.tokens.test];
    expect(await readFile(join(own, "tokens.safetensors"))).toEqual(
      await readFile(join(expected, "tokens.safetensors")),
    );
    // The end of a text is its last token, which CLIP reads it from.
    expect(await headerOf(own)).toEqual(await headerOf(expected));
    expect(logs.at(-1)).toMatch(/^\d+ questions with \d+ texts on \d+ images$/);
  });

  it("pools the first token of a text where it is told to", async () => {
    const { outputs } = await read({}, { pooled: "first" });
    const { questions } = await headerOf(outputs["tokens"]!);
    expect(questions.every(({ pooled }) => pooled === 0)).toBe(true);
  });

  const changed = (name: string, tensor: StoredTensor): typeof tensors =>
    new Map([...tensors, [name, tensor]]);

  it.each<[string, () => Parameters<typeof read>[0], string]>([
    ["a question without a row", () => ({ table: [rows[0]!, ...rows.slice(2)] }), "has no row for 1 of"],
    ["an id that stands twice", () => ({ table: [...rows, rows[1]!] }), "which another row has"],
    [
      "a tensor that is not there",
      () => ({ table: rows.map((row) => row.replace("image 0,", "imag 0,")) }),
      'no tensor "imag 0"',
    ],
    [
      "images of another shape",
      () => ({ values: changed("image 1", { shape: [1, 2], data: Float32Array.of(1, 2) }) }),
      'differ: "image 0" has shape',
    ],
    [
      "texts of another width",
      () => ({ values: changed("question 1", { shape: [1, 2], data: Float32Array.of(1, 2) }) }),
      'and "question 1" width 2',
    ],
    [
      "a tensor that holds no tokens",
      () => ({ values: changed("question 0", { shape: [2], data: Int32Array.of(1, 2) }) }),
      "is I32 [2], and should be [L, V] of floats",
    ],
  ])("tells of %s", async (_, files, message) => {
    await expect(read(files())).rejects.toThrow(message);
  });

  it("says what a folder lacks before anything is read", async () => {
    const root = await mkdtemp(join(tmpdir(), "ranflow-tokens-"));
    const run = (): Promise<NodeRun> =>
      runNode(dataTokens, { params: { root }, inputs: { questions: world.questions.test } });
    await expect(run()).rejects.toThrow("has no table of tokens");
    await writeFile(join(root, "tokens.csv"), "id,image,text\n");
    await expect(run()).rejects.toThrow("has no tokens.safetensors");
    await writeFile(join(root, "tokens.jsonl"), "");
    await expect(run()).rejects.toThrow("has several tables: tokens.csv, tokens.jsonl");
  });
});
