import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { openFile, type OpenFile } from "../checkpoints/file.ts";
import type { DataTokensParams } from "../data-tokens.ts";
import { distinct } from "../distinct.ts";
import type { ImageQuestion } from "../formats.ts";
import { toHalves } from "../half.ts";
import { readQuestions } from "../records.ts";
import {
  elements,
  readSafetensorsEntry,
  readSafetensorsHeader,
  type SafetensorsEntry,
} from "../safetensors.ts";
import { tokensRecords, writeTokens } from "../tokens.ts";
import { closest } from "./closest.ts";
import type { NamedFile } from "./csv.ts";
import { readOwnTable } from "./own-table.ts";
import { tensorsFile } from "./token-files.ts";

type Context = RunContext<DataTokensParams, { readonly questions: Port }, { readonly tokens: Port }>;

/** Names of the tensors that hold a question's tokens. */
interface TensorNames {
  readonly image: string;
  readonly text: string;
}

/** The work of `data.tokens` (METHOD 9). */
export async function loadOwnTokens(context: Context): Promise<void> {
  const { external, inputs, log, outputs, params } = context;
  const { header, records } = await readQuestions(inputs.questions.path);
  const [table] = [...external.keys()].filter((name) => name !== tensorsFile) as [string];
  const named = await tensorNames({ path: external.get(table)!.path, name: table }, records);
  const images = distinct(named, ({ image }) => image);
  const texts = distinct(named, ({ text }) => text);

  const file = await openFile(external.get(tensorsFile)!.path);
  try {
    const { entries } = await readSafetensorsHeader(file);
    const imageEntries = chosen(
      entries,
      images.items.map(({ image }) => image),
      "[N, W]",
    );
    const textEntries = chosen(
      entries,
      texts.items.map(({ text }) => text),
      "[L, V]",
    );
    requireEqual(imageEntries, ({ shape }) => `shape [${shape.join(", ")}]`);
    requireEqual(textEntries, ({ shape }) => `width ${shape[1]}`);
    const lengths = textEntries.map(({ shape }) => shape[0] as number);
    const asked = new Map(texts.rows.map((text, at) => [text, records[at]!.question]));
    await writeTokens(
      outputs.tokens.path,
      {
        ...header,
        records: tokensRecords(records, { images: images.rows, texts: texts.rows }),
        questions: lengths.map((length, at) => ({
          text: asked.get(at)!,
          length,
          pooled: params.pooled === "first" ? 0 : length - 1,
        })),
      },
      {
        image: {
          shape: [imageEntries.length, ...imageEntries[0]!.shape],
          data: await joinedHalves(context, file, imageEntries),
        },
        text: {
          shape: [lengths.reduce((sum, length) => sum + length, 0), textEntries[0]!.shape[1]!],
          data: await joinedHalves(context, file, textEntries),
        },
      },
    );
  } finally {
    await file.handle.close();
  }
  log(`${records.length} questions with ${texts.items.length} texts on ${images.items.length} images`);
}

/** @throws NodeError where a question has no row, or more than one */
async function tensorNames(
  table: NamedFile,
  questions: readonly ImageQuestion[],
): Promise<readonly TensorNames[]> {
  const rows = new Map<string, TensorNames>();
  const columns = ["id", "image", "text"] as const;
  for (const { at, fields } of await readOwnTable(table, columns)) {
    const [id, image, text] = columns.map((name) => fields[name]!) as [string, string, string];
    if (rows.has(id)) throw new NodeError(`${at} has the id ${id}, which another row has`);
    rows.set(id, { image, text });
  }
  const without = questions.filter(({ id }) => !rows.has(id));
  if (without.length === 0) return questions.map(({ id }) => rows.get(id)!);
  throw new NodeError(
    `${table.name} has no row for ${without.length} of ${questions.length} questions, the first: ${without[0]!.id}`,
    { hint: "Make the tokens of these too, or leave them out with the loader's `exclude` or `limit`." },
  );
}

const floats: readonly string[] = ["F16", "BF16", "F32", "F64"];

/** The entries of these names. @throws NodeError where there is none, or it is no matrix of numbers */
function chosen(
  entries: readonly SafetensorsEntry[],
  names: readonly string[],
  wanted: string,
): readonly SafetensorsEntry[] {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  return names.map((name) => {
    const entry = byName.get(name);
    if (!entry) {
      const near = closest(name, [...byName.keys()]);
      throw new NodeError(`${tensorsFile} has no tensor ${JSON.stringify(name)}, which the table names`, {
        ...(near !== undefined && { hint: `Did you mean ${near}?` }),
      });
    }
    const { dtype, shape } = entry;
    if (shape.length === 2 && elements(shape) > 0 && floats.includes(dtype)) return entry;
    throw new NodeError(
      `the tensor ${JSON.stringify(name)} of ${tensorsFile} is ${dtype} [${shape.join(", ")}], and should be ${wanted} of floats`,
      { hint: "A tensor holds the tokens of one image or one text, a row each." },
    );
  });
}

function requireEqual(entries: readonly SafetensorsEntry[], tell: (entry: SafetensorsEntry) => string): void {
  const [first] = entries;
  const other = entries.find((entry) => tell(entry) !== tell(first!));
  if (first === undefined || other === undefined) return;
  throw new NodeError(
    `tensors of ${tensorsFile} differ: "${first.name}" has ${tell(first)} and "${other.name}" ${tell(other)}`,
    { hint: "They have to come from one encoder." },
  );
}

/** The values of all entries, one after the other. */
async function joinedHalves(
  { signal }: Context,
  file: OpenFile,
  entries: readonly SafetensorsEntry[],
): Promise<Uint16Array> {
  const joined = new Uint16Array(entries.reduce((sum, { shape }) => sum + elements(shape), 0));
  let at = 0;
  for (const entry of entries) {
    signal.throwIfAborted();
    const { data } = await readSafetensorsEntry(file, entry);
    joined.set(toHalves(data instanceof Float32Array ? data : Float32Array.from(data as Float64Array)), at);
    at += data.length;
  }
  return joined;
}
