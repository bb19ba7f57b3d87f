import { createHash, type Hash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { NodeError } from "../../../engine/sdk.ts";
import { openZip, type Entry, type ZipFile } from "../../zip.ts";
import { isNoSpace, noSpace, type InstallContext } from "./programs.ts";

/** Where the parts of the wheel go. */
export interface WheelTargets {
  /** Folder for the two shared libraries. */
  readonly libraries: string;
  /** Folder for the C headers. */
  readonly include: string;
}

/** The shared libraries that the binding links, by their names in the wheel. */
export const libraryNames = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"] as const;

/**
 * Takes the two libraries and the C headers out of TensorFlow's wheel.
 *
 * @returns SHA-256 of the libraries, in hexadecimal, by name
 */
export async function unpackWheel(
  context: InstallContext,
  wheel: string,
  targets: WheelTargets,
): Promise<Readonly<Record<string, string>>> {
  const found = await extractFromWheel(context, wheel, (name) => targetOf(name, targets));
  const missing = libraryNames.filter((name) => !found.has(`tensorflow/${name}`));
  if (missing.length > 0)
    throw new NodeError(`the wheel ${wheel} does not hold ${missing.join(" and ")}`, {
      hint: "it is built differently from the pinned one: check which index pip is set to",
    });
  return Object.fromEntries(libraryNames.map((name) => [name, found.get(`tensorflow/${name}`) as string]));
}

/**
 * Takes files out of a wheel, without unpacking the rest, and checks each against the wheel's own record.
 *
 * @param targetOf where the file of this name goes; undefined for what is not needed
 * @returns SHA-256 in hexadecimal by name in the wheel
 */
export async function extractFromWheel(
  context: InstallContext,
  wheel: string,
  targetOf: (name: string) => string | undefined,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  let record = "";
  let bytes = 0;
  await eachEntry(context, wheel, async (zip, entry) => {
    if (/^[^/]+\.dist-info\/RECORD$/.test(entry.fileName)) record = await readText(wheel, zip, entry);
    const target = targetOf(entry.fileName);
    if (target === undefined) return;
    // A stream that is longer than its entry says is refused by the reader.
    bytes += entry.uncompressedSize;
    checkSize(wheel, bytes, mostBytes);
    found.set(entry.fileName, await extract(context, zip, entry, target));
  });
  for (const [name, digest] of found)
    if (!record.includes(`${name},sha256=${Buffer.from(digest, "hex").toString("base64url")},`))
      throw new NodeError(`${name} in the wheel is not what the wheel's own record says`, {
        hint: "the download is damaged: start again",
      });
  return found;
}

/** A wheel's METADATA: its name, version and what it requires. */
export async function readWheelMetadata(context: InstallContext, wheel: string): Promise<string> {
  let metadata = "";
  await eachEntry(context, wheel, async (zip, entry) => {
    if (/^[^/]+\.dist-info\/METADATA$/.test(entry.fileName)) metadata = await readText(wheel, zip, entry);
  });
  return metadata;
}

async function eachEntry(
  context: InstallContext,
  wheel: string,
  visit: (zip: ZipFile, entry: Entry) => Promise<void>,
): Promise<void> {
  const zip = await openZip(wheel).catch((cause: unknown) => {
    throw unreadable(wheel, cause);
  });
  try {
    for await (const entry of zip.entries()) {
      context.signal.throwIfAborted();
      await visit(zip, entry);
    }
  } catch (error) {
    // Errors of the file system have a code; what is left is wrong with the file, for instance a name that leads out of it.
    if (error instanceof NodeError || !(error instanceof Error) || "code" in error) throw error;
    throw unreadable(wheel, error);
  } finally {
    zip.close();
  }
}

async function readText(wheel: string, zip: ZipFile, entry: Entry): Promise<string> {
  checkSize(wheel, entry.uncompressedSize, longestText);
  return text(await zip.read(entry));
}

/** Where an entry goes; undefined for what is not needed. Names are matched whole: no entry chooses its own place. */
function targetOf(name: string, { libraries, include }: WheelTargets): string | undefined {
  const library = libraryNames.find((wanted) => name === `tensorflow/${wanted}`);
  if (library) return join(libraries, library);
  // The C interface and the string type it uses, out of 13,000 headers.
  const header = /^tensorflow\/include\/((?:\w+\/)*(?:c\/(?:\w+\/)*\w+|platform\/ctstring\w*)\.h)$/.exec(
    name,
  )?.[1];
  return header === undefined ? undefined : join(include, header);
}

function unreadable(wheel: string, cause: unknown): NodeError {
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  return new NodeError(`${wheel} is not a wheel that can be read${why}`, { hint: "start again", cause });
}

/** What is taken of a wheel is a good 1 GB at most, and its record 2 MB: more is meant to fill memory or disk. */
const mostBytes = 4_000_000_000;
const longestText = 100_000_000;

function checkSize(wheel: string, bytes: number, most: number): void {
  if (bytes <= most) return;
  throw new NodeError(
    `${wheel} would unpack to ${Math.round(bytes / 1e6)} MB, far more than the pinned one`,
    {
      hint: "it is another wheel: check which index pip is set to",
    },
  );
}

/** Streams an entry to a file, which anyone may read and run. @returns its SHA-256 in hexadecimal */
async function extract(context: InstallContext, zip: ZipFile, entry: Entry, target: string): Promise<string> {
  await mkdir(dirname(target), { recursive: true });
  const hash: Hash = createHash("sha256");
  let done = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, next) {
      hash.update(chunk);
      done += chunk.length;
      if (entry.uncompressedSize > 10_000_000)
        context.report({
          kind: "bytes",
          what: `unpacking ${entry.fileName}`,
          done,
          total: entry.uncompressedSize,
        });
      next(null, chunk);
    },
  });
  try {
    await pipeline(await zip.read(entry), counted, createWriteStream(target, { mode: 0o755 }), {
      signal: context.signal,
    });
  } catch (error) {
    if (isNoSpace(String(error))) throw noSpace(dirname(target), error);
    throw error;
  }
  return hash.digest("hex");
}
