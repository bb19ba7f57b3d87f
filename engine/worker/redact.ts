import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Json } from "../model/json.ts";
import { secretForms, windowOf } from "./secret-forms.ts";

/** Takes secrets out of what leaves the worker. */
export interface Redactor {
  /** Reads an environment variable and hides its value from now on. */
  secret(variable: string): string | undefined;
  /** True once there is something to hide. */
  active(): boolean;
  /** The text with `[VARIABLE]` in place of a secret, whole or in part, in every form in which it is usually quoted. */
  redact(text: string): string;
  /** As `redact`, for every text in a value, the names of its fields aside. */
  redactJson<T extends Json>(value: T): T;
  /** Name of a variable whose whole value stands in a text, in one of those forms. */
  heldBy(text: string): string | undefined;
  /** As `heldBy`, for a file or the files under a folder. Reads nothing where there is nothing to hide. */
  heldByFiles(path: string): Promise<string | undefined>;
}

/** Values this short occur by chance in ordinary text; hiding them would tell more than it hides. */
const shortestSecret = 4;
/** Values such as `EMPTY` or `none` stand in for a key where none is needed: results may well contain them. */
const shortestForbidden = 8;

/** @param env where the secrets are read from, `process.env` in a worker */
export function createRedactor(env: Readonly<Record<string, string | undefined>>): Redactor {
  const known = new Set<string>();
  /** By length: pieces of secrets, and whose they are. */
  const pieces = new Map<number, Map<string, string>>();
  const whole = new Map<string, string>();

  const hide = (variable: string, value: string): void => {
    const { forms, lines } = secretForms(value);
    if (value.length >= shortestForbidden) for (const form of forms) whole.set(form, variable);
    for (const form of [...forms, ...lines]) {
      const length = windowOf(form.length);
      const ofLength = pieces.get(length) ?? new Map<string, string>();
      pieces.set(length, ofLength);
      for (let at = 0; at + length <= form.length; at++) ofLength.set(form.slice(at, at + length), variable);
    }
  };

  /** The longest reach of a piece that begins at a place; undefined where none does. */
  const pieceAt = (
    text: string,
    at: number,
  ): { readonly end: number; readonly variable: string } | undefined => {
    let found: { readonly end: number; readonly variable: string } | undefined;
    for (const [length, ofLength] of pieces) {
      const variable = ofLength.get(text.slice(at, at + length));
      if (variable !== undefined && at + length > (found?.end ?? 0)) found = { end: at + length, variable };
    }
    return found;
  };

  const redact = (text: string): string => {
    if (pieces.size === 0) return text;
    let result = "";
    let kept = 0;
    for (let at = 0; at < text.length; at++) {
      const first = pieceAt(text, at);
      if (!first) continue;
      let { end } = first;
      // Pieces that overlap or adjoin are one secret, or one and the beginning of the next.
      for (let next = at + 1; next <= end; next++) end = Math.max(end, pieceAt(text, next)?.end ?? 0);
      result += `${text.slice(kept, at)}[${first.variable}]`;
      kept = end;
      at = end - 1;
    }
    return result + text.slice(kept);
  };

  const redactJson = (value: Json): Json => {
    if (typeof value === "string") return redact(value);
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(redactJson);
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, redactJson(item)]));
  };

  const heldByFiles = async (path: string): Promise<string | undefined> => {
    if (whole.size === 0) return undefined;
    const isFolder = (await stat(path)).isDirectory();
    const names = isFolder ? await readdir(path, { recursive: true }) : [""];
    for (const name of names) {
      const file = join(path, name);
      // Links that lead nowhere and the like are refused when the output is taken.
      const isFile = (await stat(file).catch(() => undefined))?.isFile() ?? false;
      const held = isFile ? await heldByFile(file, whole) : undefined;
      if (held !== undefined) return held;
    }
    return undefined;
  };

  return {
    secret(variable) {
      const value = env[variable];
      if (value === undefined || known.has(variable)) return value;
      known.add(variable);
      if (value.trim().length >= shortestSecret) hide(variable, value.trim());
      return value;
    },
    active: () => pieces.size > 0,
    redact,
    redactJson: <T extends Json>(value: T) => redactJson(value) as T,
    heldBy: (text) => [...whole].find(([form]) => text.includes(form))?.[1],
    heldByFiles,
  };
}

/** Which of the texts stands first in a file, whatever its size and wherever it is cut when it is read. */
async function heldByFile(path: string, texts: ReadonlyMap<string, string>): Promise<string | undefined> {
  const wanted = Array.from(texts, ([text, variable]) => ({ bytes: Buffer.from(text), variable }));
  const longest = Math.max(...wanted.map(({ bytes }) => bytes.length));
  let before = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    const piece = Buffer.concat([before, chunk]);
    const found = wanted.find(({ bytes }) => piece.includes(bytes));
    if (found) return found.variable;
    before = piece.subarray(Math.max(0, piece.length - longest + 1));
  }
  return undefined;
}
