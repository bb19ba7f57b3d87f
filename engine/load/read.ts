import { open, readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { SourceFile, SourceRange } from "../model/source.ts";
import type { Report } from "./report.ts";
import { similar } from "./similar.ts";

/**
 * Reads a pipeline's file.
 *
 * @param path as the user wrote it, against `cwd`; it is also the path that diagnostics show
 * @param maxBytes larger files are refused before they are parsed
 * @param at the entry that imports the file; absent for the one that the user named
 */
export async function readSource(options: {
  readonly path: string;
  readonly cwd: string;
  readonly maxBytes: number;
  readonly report: Report;
  readonly at?: SourceRange;
}): Promise<SourceFile | undefined> {
  const { at, path, report } = options;
  try {
    await using file = await open(resolve(options.cwd, path), "r");
    const stat = await file.stat();
    if (stat.isDirectory()) {
      report.error("file-unreadable", `\`${path}\` is a folder`, at, {
        hint: "give the path of a pipeline's YAML file",
      });
      return undefined;
    }
    // The size of a pipe or device is unknown, so that never more than the limit is read of anything.
    const bytes = Buffer.alloc(options.maxBytes + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > options.maxBytes) {
      report.error(
        "file-too-large",
        `\`${path}\` is larger than ${options.maxBytes.toLocaleString("en")} bytes`,
        at,
        { hint: "a pipeline is written by hand; keep data in files of their own" },
      );
      return undefined;
    }
    const text = decode(bytes.subarray(0, length));
    if (text !== undefined) return { path, text };
    report.error("file-unreadable", `\`${path}\` is not UTF-8 text`, at, {
      hint: "save it with the encoding UTF-8",
    });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") {
      const meant = await similarFile(path, options.cwd, at?.file.path);
      const otherwise = at
        ? "the path starts from the folder of the file that imports it"
        : "`ranflow init` writes a pipeline to start from";
      report.error("file-not-found", `there is no file \`${path}\``, at, {
        hint: meant === undefined ? otherwise : `did you mean \`${meant}\`?`,
      });
    } else if (code !== undefined) {
      report.error("file-unreadable", `\`${path}\` cannot be read: ${code}`, at, {
        hint: code === "EACCES" ? "check the file's permissions" : undefined,
      });
    } else throw error;
  }
  return undefined;
}

/** The YAML file of that folder which a misspelt path most probably means, as the path has the folder. */
async function similarFile(path: string, cwd: string, importer?: string): Promise<string | undefined> {
  const folder = resolve(cwd, dirname(path));
  const isOther = (name: string): boolean =>
    /\.ya?ml$/i.test(name) && (importer === undefined || join(folder, name) !== resolve(cwd, importer));
  const names = await readdir(folder).catch(() => []);
  const meant = similar(basename(path), names.filter(isOther));
  return meant === undefined ? undefined : join(dirname(path), meant);
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
