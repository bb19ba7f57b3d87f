import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { dataSlake } from "../../nodes/data-slake.ts";
import { dataVqaRad } from "../../nodes/data-vqa-rad.ts";
import { readQuestions } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

async function dataset(files: Readonly<Record<string, unknown>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "ranflow-questions-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return root;
}

async function questionsOf(type: NodeType, params: JsonObject) {
  const run = await runNode(type, { params });
  return { ...(await readQuestions(run.outputs["questions"]!)), logs: run.logs };
}

async function problem(type: NodeType, params: JsonObject): Promise<NodeError> {
  const error: unknown = await runNode(type, { params }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(NodeError);
  return error as NodeError;
}

const slake = (qid: number, image: number, lang: string, more: object = {}) => ({
  img_name: `xmlab${image}/source.jpg`,
  question: `Question ${qid}?`,
  answer: "Yes",
  q_lang: lang,
  answer_type: "CLOSED",
  qid,
  ...more,
});

describe("data.slake", () => {
  const images = Object.fromEntries([0, 1, 2].map((n) => [`imgs/xmlab${n}/source.jpg`, `pixels ${n}`]));
  const train = [
    slake(0, 0, "en"),
    slake(1, 0, "zh"),
    slake(2, 1, "en", { answer_type: "OPEN", answer: "T2 " }),
  ];

  it("reads the questions of one language, several to an image", async () => {
    const root = await dataset({ "train.json": train, ...images });
    const { header, records } = await questionsOf(dataSlake, { root });
    expect(header).toEqual({ dataset: "slake", split: "train" });
    expect(records.map(({ id, answer, answerType }) => [id, answer, answerType])).toEqual([
      ["0", "Yes", "closed"],
      ["2", "T2", "open"],
    ]);
    const all = await questionsOf(dataSlake, { root, lang: "all" });
    expect(all.records.map(({ lang }) => lang)).toEqual(["en", "zh", "en"]);
    expect(all.records[0]!.image).toEqual(all.records[1]!.image);
    expect(all.logs.join("\n")).toMatch(/some images are in the train split and in the test split/);
  });

  it("knows the other copies' names of table, folder and images", async () => {
    const root = await dataset({
      "Slake1.0/validation.json": [slake(5, 1, "en")],
      "Slake1.0/imgs/source_xmlab1.jpg": "pixels",
    });
    for (const split of ["val", "valid"]) {
      const { header, records } = await questionsOf(dataSlake, { root, split });
      expect(header.split).toBe("val");
      expect(records.map(({ id }) => id)).toEqual(["5"]);
    }
  });

  it("says where an entry is wrong, and reads nothing outside its folder", async () => {
    const wrong = async (entry: object): Promise<string> =>
      (await problem(dataSlake, { root: await dataset({ "train.json": [train[0], entry], ...images }) }))
        .message;
    expect(await wrong(slake(3, 0, "en", { answer_type: "EITHER" }))).toMatch(
      /entry 2, has the answer type "EITHER"/,
    );
    expect(await wrong(slake(3, 0, "en", { answer: null }))).toMatch(
      /entry 2, has no text in its field answer/,
    );
    for (const img_name of ["../../etc/passwd", "/etc/passwd", ""]) {
      expect(await wrong(slake(3, 0, "en", { img_name }))).toMatch(/which is not in the dataset's folder/);
    }
    expect(await wrong([])).toMatch(/entry 2, is not a JSON object/);
    expect((await problem(dataSlake, { root: await dataset({ "train.json": '[{"qid"' }) })).message).toMatch(
      /train\.json is not JSON/,
    );
    expect((await problem(dataSlake, { root: await dataset({ "train.json": {} }) })).message).toMatch(
      /train\.json is not a JSON list/,
    );
  });

  it("names what is missing", async () => {
    const root = await dataset({ "train.json": train, "imgs/xmlab0/source.jpg": "pixels" });
    expect((await problem(dataSlake, { root })).message).toMatch(
      /1 of 2 images of slake are missing .*imgs\/xmlab1\/source\.jpg \(record 2\)/,
    );
    expect((await questionsOf(dataSlake, { root, onMissing: "skip" })).records).toHaveLength(1);
    expect((await problem(dataSlake, { root, split: "test" })).hint).toMatch(
      /train\.json, validate\.json, test\.json/,
    );
  });
});

describe("data.vqa-rad", () => {
  const rad = (qid: number | string, phrase: string, more: object = {}) => ({
    qid,
    phrase_type: phrase,
    image_name: "synpic1.jpg",
    question: "Is it?",
    answer: "yes",
    answer_type: "CLOSED",
    ...more,
  });
  const official = [
    rad("0", "freeform"),
    rad(1, "para", { answer: 4, answer_type: "OPEN" }),
    rad(2, "test_freeform", { answer_type: "CLOSED " }),
    rad(3, "test_para", { answer: "No" }),
  ];

  it("tells the splits of the official table by the kind of phrase, and reads numbers as text", async () => {
    const root = await dataset({
      "VQA_RAD Dataset Public.json": official,
      "VQA_RAD Image Folder/synpic1.jpg": "pixels",
    });
    const read = async (split: string) => (await questionsOf(dataVqaRad, { root, split })).records;
    expect((await read("train")).map(({ id, answer }) => [id, answer])).toEqual([
      ["0", "yes"],
      ["1", "4"],
    ]);
    expect((await read("test")).map(({ id, answer, answerType }) => [id, answer, answerType])).toEqual([
      ["2", "yes", "closed"],
      ["3", "No", "closed"],
    ]);
    expect(await read("all")).toHaveLength(4);
  });

  it("reads the layout of med-VQA papers, whose rephrased questions repeat ids", async () => {
    const files = {
      "trainset.json": [rad(1, "freeform"), rad(1, "frame")],
      "testset.json": [rad(2, "test_freeform")],
      "images/synpic1.jpg": "pixels",
    };
    const root = await dataset(files);
    expect((await questionsOf(dataVqaRad, { root })).records.map(({ id }) => id)).toEqual(["1", "1#2"]);
    expect((await questionsOf(dataVqaRad, { root, split: "all" })).records).toHaveLength(3);
    const both = await dataset({ ...files, "VQA_RAD Dataset Public.json": official });
    expect((await questionsOf(dataVqaRad, { root: both, split: "test" })).records).toHaveLength(2);
    expect(
      (await questionsOf(dataVqaRad, { root: both, split: "test", layout: "mevf" })).records,
    ).toHaveLength(1);
    expect((await problem(dataVqaRad, { root, layout: "official" })).message).toMatch(
      /is not a vqa-rad folder/,
    );
  });

  it("takes no image from another folder", async () => {
    const root = await dataset({
      "VQA_RAD Dataset Public.json": [rad(1, "freeform", { image_name: "elsewhere/synpic1.jpg" })],
    });
    expect((await problem(dataVqaRad, { root })).message).toMatch(/it must be a file name/);
  });
});
