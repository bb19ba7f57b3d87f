import { createHash, type Hash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { text } from "node:stream/consumers";
import { openZip, type Entry, type ZipFile } from "../../zip.ts";
import { NodeError } from "../../../engine/sdk.ts";
import { pins } from "../places.ts";
import {
  isNetworkFailure,
  isNoSpace,
  noSpace,
  run,
  tail,
  type InstallContext,
  type Programs,
} from "./programs.ts";

/** Python versions whose wheels serve as well as the user's own: the libraries inside do not depend on Python. */
const otherPythons = ["3.12", "3.11", "3.13", "3.10"] as const;

/**
 * Downloads TensorFlow's wheel with the user's pip, from whatever index or mirror it is set to.
 *
 * @returns path of the wheel in `folder`
 */
export async function downloadWheel(
  context: InstallContext,
  programs: Programs,
  folder: string,
): Promise<string> {
  const spec = `${pins.wheel.name}==${pins.wheel.version}`;
  await mkdir(join(folder, "tmp"), { recursive: true });
  context.report({ kind: "line", text: `fetching ${spec} with pip` });
  const raw = await hasRawProgress(context, programs);
  let first = "";
  for (const version of [undefined, ...otherPythons]) {
    const downloaded = await run(
      context,
      programs.python,
      [
        ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"],
        ["--progress-bar", raw ? "raw" : "off", "--dest", folder],
        version === undefined ? [] : ["--python-version", version],
        [spec],
      ].flat(),
      {
        // pip unpacks into the temporary folder, which on clusters is often small.
        env: { TMPDIR: join(folder, "tmp"), PIP_DISABLE_PIP_VERSION_CHECK: "1" },
        onLine: (line) => {
          const [, done, total] = /^Progress (\d+) of (\d+)$/.exec(line) ?? [];
          if (done && total)
            context.report({ kind: "bytes", what: spec, done: Number(done), total: Number(total) });
        },
      },
    );
    if (downloaded.ok) return findWheel(folder);
    first ||= downloaded.output;
    if (isNoSpace(downloaded.output)) throw noSpace(folder);
    // Only a missing version is worth asking again for another Python.
    if (
      isNetworkFailure(downloaded.output) ||
      !/No matching distribution|Could not find a version/.test(downloaded.output)
    )
      break;
  }
  throw pipProblem(first, spec);
}

async function hasRawProgress(context: InstallContext, programs: Programs): Promise<boolean> {
  const { output } = await run(context, programs.python, ["-m", "pip", "--version"]);
  const [, major = "0", minor = "0"] = /^pip (\d+)\.(\d+)/m.exec(output) ?? [];
  return Number(major) * 100 + Number(minor) >= 2401;
}

async function findWheel(folder: string): Promise<string> {
  const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl"));
  if (wheel) return join(folder, wheel);
  throw new NodeError("pip said it downloaded the wheel, but there is none", {
    hint: "update pip and start again",
  });
}

function pipProblem(output: string, spec: string): NodeError {
  if (isNetworkFailure(output))
    return new NodeError(`pip cannot reach its package index: ${tail(output, 4)}`, {
      hint: "check the network, or name a mirror with `pip config set global.index-url URL`",
      transient: true,
    });
  if (/No matching distribution|Could not find a version/.test(output))
    return new NodeError(`pip's index has no wheel of ${spec} for this platform: ${tail(output, 3)}`, {
      hint:
        "the wheel needs glibc 2.27 or later (`ldd --version`); otherwise name an index that has it with " +
        "`pip config set global.index-url URL`, or a folder of wheels with PIP_FIND_LINKS",
    });
  return new NodeError(`pip download failed: ${tail(output)}`, {
    hint: "run the same command by hand to see more",
  });
}

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
 * Takes the two libraries and the C headers out of the wheel, without unpacking the rest, and checks each against
 * the wheel's own record.
 *
 * @returns SHA-256 of the libraries, in hexadecimal, by name
 */
export async function unpackWheel(
  context: InstallContext,
  wheel: string,
  targets: WheelTargets,
): Promise<Readonly<Record<string, string>>> {
  const zip = await openZip(wheel).catch((cause: unknown) => {
    throw unreadable(wheel, cause);
  });
  const digests: Record<string, string> = {};
  const found: { name: string; digest: string }[] = [];
  let record = "";
  let bytes = 0;
  try {
    for await (const entry of zip.entries()) {
      context.signal.throwIfAborted();
      if (/^[^/]+\.dist-info\/RECORD$/.test(entry.fileName)) {
        checkSize(wheel, entry.uncompressedSize, longestRecord);
        record = await text(await zip.read(entry));
      }
      const target = targetOf(entry.fileName, targets);
      if (target === undefined) continue;
      // A stream that is longer than its entry says is refused by the reader.
      bytes += entry.uncompressedSize;
      checkSize(wheel, bytes, mostBytes);
      const digest = await extract(context, zip, entry, target);
      found.push({ name: entry.fileName, digest });
      const library = libraryNames.find((name) => entry.fileName === `tensorflow/${name}`);
      if (library) digests[library] = Buffer.from(digest, "base64url").toString("hex");
    }
  } catch (error) {
    // Errors of the file system have a code; what is left is wrong with the file, for instance a name that leads out of it.
    if (error instanceof NodeError || !(error instanceof Error) || "code" in error) throw error;
    throw unreadable(wheel, error);
  } finally {
    zip.close();
  }
  for (const { name, digest } of found)
    if (!record.includes(`${name},sha256=${digest},`))
      throw new NodeError(`${name} in the wheel is not what the wheel's own record says`, {
        hint: "the download is damaged: start again",
      });
  const missing = libraryNames.filter((name) => digests[name] === undefined);
  if (missing.length > 0)
    throw new NodeError(`the wheel ${wheel} does not hold ${missing.join(" and ")}`, {
      hint: "it is built differently from the pinned one: check which index pip is set to",
    });
  return digests;
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

/** What the pinned wheel holds of what is taken is a good 1 GB, and its record 2 MB: more is meant to fill memory or disk. */
const mostBytes = 4_000_000_000;
const longestRecord = 100_000_000;

function checkSize(wheel: string, bytes: number, most: number): void {
  if (bytes <= most) return;
  throw new NodeError(
    `${wheel} would unpack to ${Math.round(bytes / 1e6)} MB, far more than the pinned one`,
    {
      hint: "it is another wheel: check which index pip is set to",
    },
  );
}

/** Streams an entry to a file. @returns its SHA-256 as the wheel's record writes it */
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
    await pipeline(await zip.read(entry), counted, createWriteStream(target), { signal: context.signal });
  } catch (error) {
    if (isNoSpace(String(error))) throw noSpace(dirname(target), error);
    throw error;
  }
  return hash.digest("base64url");
}
