import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import { readCsv } from "../../nodes/data/csv.ts";
import type { NamedFile } from "../../nodes/data/csv.ts";
import { readJsonLines } from "../../nodes/data/json-lines.ts";

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-csv-"));
});

async function file(content: string | Uint8Array): Promise<NamedFile> {
  const path = join(folder, `${files++}`);
  await writeFile(path, content);
  return { path, name: "labels.csv" };
}

const captions = { required: ["ID", "Caption"] } as const;

async function problem(content: string | Uint8Array): Promise<NodeError> {
  const error: unknown = await readCsv(await file(content), captions).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(NodeError);
  return error as NodeError;
}

describe("readCsv", () => {
  it("reads the asked columns in whatever order, with BOM and CRLF", async () => {
    const rows = await readCsv(await file("\uFEFFn,Caption,ID\r\n1,first,a\r\n2,second,b\r\n"), captions);
    expect(rows).toEqual([
      { line: 2, fields: { ID: "a", Caption: "first" } },
      { line: 3, fields: { ID: "b", Caption: "second" } },
    ]);
  });

  it("reads quoted commas, quotes and line breaks", async () => {
    const rows = await readCsv(
      await file('\uFEFFID,Caption\na,"left, right"\nb,"a ""sign""\nof"\n'),
      captions,
    );
    expect(rows.map(({ fields }) => fields.Caption)).toEqual(["left, right", 'a "sign"\nof']);
  });

  it("reads the same with and without a quote somewhere", async () => {
    const plain = await readCsv(await file("ID,Caption\na,one\n\nb,\n"), captions);
    const quoted = await readCsv(await file('ID,Caption\n"a",one\n\nb,\n'), captions);
    expect(plain.map(({ fields }) => fields)).toEqual(quoted.map(({ fields }) => fields));
    expect(plain.at(-1)?.line).toBe(4);
    expect(quoted.at(-1)?.line).toBe(4);
  });

  it("reads NIH's header, whose brackets hold commas", async () => {
    const header = "Image Index,Finding Labels,OriginalImage[Width,Height],Spacing[x,y]";
    const rows = await readCsv(await file(`${header}\na.png,Mass|Nodule,2682,2749,0.1,0.1\n`), {
      required: ["Image Index", "Finding Labels"],
    });
    expect(rows[0]?.fields).toEqual({ "Image Index": "a.png", "Finding Labels": "Mass|Nodule" });
  });

  it("reads NIH's first header, which ends in a comma that the rows lack", async () => {
    const rows = await readCsv(await file("ID,Caption,y],\na,first,0.1\n"), captions);
    expect(rows[0]?.fields.Caption).toBe("first");
  });

  it("leaves out optional columns that are not there, and renames headers", async () => {
    const rows = await readCsv(await file("Path,Pleural_Effusion\np,1.0\n"), {
      required: ["Path", "Pleural Effusion"],
      optional: ["Frontal/Lateral"],
      rename: (header) => header.replaceAll("_", " "),
    });
    expect(rows[0]?.fields).toEqual({ Path: "p", "Pleural Effusion": "1.0" });
  });

  it("says which columns are missing, which there are, and what was meant", async () => {
    const { message, hint } = await problem("id,Captions\na,first\n");
    expect(message).toBe('labels.csv:1 lacks the columns "ID", "Caption"; it has "id", "Captions"');
    expect(hint).toBe('"id" was probably meant to be "ID"; "Captions" was probably meant to be "Caption".');
  });

  it("notices another separator", async () => {
    expect((await problem("ID;Caption\na;first\n")).hint).toMatch(/separated by ";"/);
    expect((await problem("ID\tCaption\na\tfirst\n")).hint).toMatch(/separated by tabs/);
    // Not the quote that a comma would have had to precede.
    expect((await problem('ID;Caption\na;"first, second"\n')).hint).toMatch(/separated by ";"/);
  });

  it("notices a file that was cut off", async () => {
    const { message, hint } = await problem("ID,Caption\na,first\nb");
    expect(message).toBe("labels.csv:3 has 1 field where the header has 2");
    expect(hint).toMatch(/cut off/);
  });

  it("notices an unquoted comma", async () => {
    expect((await problem("ID,Caption\na,left, right\n")).hint).toMatch(/must stand in quotes/);
  });

  it("notices a quote that is never closed, an empty file and another encoding", async () => {
    expect((await problem('ID,Caption\na,"first\nb,second\n')).message).toMatch(
      /labels\.csv.* is not valid CSV/,
    );
    expect((await problem("")).message).toBe("labels.csv is empty");
    expect((await problem(Buffer.from("ID,Caption\na,\xd7\n", "latin1"))).message).toMatch(/not UTF-8/);
    await expect(readCsv({ path: join(folder, "none"), name: "none.csv" }, captions)).rejects.toThrow(
      /none\.csv cannot be opened/,
    );
  });
});

describe("readJsonLines", () => {
  async function values(content: string): Promise<unknown[]> {
    const read: unknown[] = [];
    for await (const { line, value } of readJsonLines({ ...(await file(content)), name: "figures.jsonl" })) {
      read.push([line, value]);
    }
    return read;
  }

  it("reads objects with BOM, CRLF, empty lines and line separators inside texts", async () => {
    expect(await values('\uFEFF{"a":1}\r\n\r\n{"a":"x\u2028y"}')).toEqual([
      [1, { a: 1 }],
      [3, { a: "x\u2028y" }],
    ]);
  });

  it("names the line that is cut off or no object", async () => {
    await expect(values('{"a":1}\n{"a":')).rejects.toThrow(/^figures\.jsonl:2 is not JSON/);
    await expect(values("[1]\n")).rejects.toThrow("figures.jsonl:1 is not a JSON object");
  });
});
