import { realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import type { SourceFile, SourceRange } from "../model/source.ts";
import { holdsAnyway } from "./broken.ts";
import type { ImportSource } from "./import-list.ts";
import { mergeFiles } from "./merge.ts";
import type { PipelineFiles } from "./merge.ts";
import { qualified } from "./namespace.ts";
import { readSource } from "./read.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import { readStructure } from "./structure.ts";
import type { FileSource } from "./structure.ts";
import { parseYaml } from "./yaml.ts";

/** A pipeline with those that it imports under namespaces. */
export interface PipelineSource extends PipelineFiles {
  readonly namespace: string;
  readonly imported: readonly ImportedPipeline[];
}

/** A pipeline under a namespace, as its importer names it. */
export interface ImportedPipeline {
  /** Name of the namespace within the importer. */
  readonly name: string;
  readonly entry: ImportSource;
  readonly pipeline: PipelineSource;
}

/** What could be read of a pipeline's files. */
export interface ReadPipeline {
  readonly pipeline: PipelineSource;
  /** False where something is missing, so that what is said about the rest may be misled by it. */
  readonly complete: boolean;
  /** Every file that was read, the pipeline's own first. */
  readonly files: readonly SourceFile[];
  /** Offset of the first syntax error in each file that has one. */
  readonly broken: ReadonlyMap<SourceFile, number>;
}

export interface ImportLimits {
  /** Bytes of one file. */
  readonly maxBytes: number;
  /** Bytes of all files together. */
  readonly maxTotalBytes: number;
  /** Values that aliases stand for, in all files together. */
  readonly maxAliased: number;
  /** Files, each counted under every namespace that it is part of. */
  readonly maxImports: number;
}

/** Reads a pipeline's file and all that it imports. Undefined where the file itself is no pipeline. */
export async function readPipeline(options: {
  readonly path: string;
  readonly cwd: string;
  readonly limits: ImportLimits;
  readonly report: Report;
}): Promise<ReadPipeline | undefined> {
  const reader = new PipelineReader(options);
  const file = await reader.root(options.path);
  const pipeline = file && (await reader.pipeline(file, "", [file]));
  const { broken, complete, files } = reader;
  return pipeline && { pipeline, complete, files, broken };
}

class PipelineReader {
  complete = true;
  readonly files: SourceFile[] = [];
  readonly broken = new Map<SourceFile, number>();
  readonly #cwd: string;
  readonly #limits: ImportLimits;
  readonly #report: Report;
  /** By absolute path without symbolic links; undefined where the file cannot be used, which is then reported. */
  readonly #files = new Map<string, FileSource | undefined>();
  #bytes = 0;
  #aliased = 0;
  #imports = 0;

  constructor({ cwd, limits, report }: { cwd: string; limits: ImportLimits; report: Report }) {
    this.#cwd = cwd;
    this.#limits = limits;
    this.#report = report;
  }

  async root(path: string): Promise<FileSource | undefined> {
    const source = await readSource({
      path,
      cwd: this.#cwd,
      maxBytes: this.#limits.maxBytes,
      report: this.#report,
    });
    const file = source && this.#parse(source);
    // What is read from a pipe has no place of its own, and is imported by nobody.
    const identity = await identityOf(resolve(this.#cwd, path));
    if (identity !== undefined) this.#files.set(identity, file);
    return file;
  }

  /**
   * A pipeline out of its files.
   *
   * @param above the files of the pipelines that import it, from the outermost on, and its own
   */
  async pipeline(
    file: FileSource,
    namespace: string,
    above: readonly FileSource[],
  ): Promise<PipelineSource | undefined> {
    const files: FileSource[] = [];
    const namespaces: { readonly entry: ImportSource; readonly from: SourceFile }[] = [];
    if (!(await this.#gather(file, files, new Set(), namespaces))) return undefined;
    const imported = new Map<string, ImportedPipeline>();
    for (const { entry, from } of namespaces) {
      const { namespace: name = "", range } = entry;
      const theirs = await this.#open(entry, from);
      if (!theirs) continue;
      const known = imported.get(name);
      if (known) {
        // Fragments that are shared may well import the same pipeline.
        if (known.pipeline.file === theirs.file && !entry.inputs && !known.entry.inputs) continue;
        this.#report.error("duplicate-node", `two pipelines are imported as \`${name}\``, range, {
          hint: "give one of them another name",
          related: [{ message: "the first one", location: known.entry.range }],
        });
        continue;
      }
      if (above.includes(theirs)) {
        const path = [...above.slice(above.indexOf(theirs)), theirs].map((each) => each.file.path);
        this.#report.error("cycle", `\`${path.join("` imports `")}\`, which is a cycle`, range, {
          hint: "a pipeline under a namespace cannot hold itself; fragments, in a list, may import each other",
        });
        this.complete = false;
        continue;
      }
      const pipeline = await this.pipeline(theirs, qualified(namespace, name), [...above, theirs]);
      if (!pipeline) return undefined;
      imported.set(name, { name, entry, pipeline });
    }
    return { ...mergeFiles(file, files, this.#report), namespace, imported: [...imported.values()] };
  }

  /** Collects a file after those that it imports as fragments, each once; false once there are too many. */
  async #gather(
    file: FileSource,
    files: FileSource[],
    seen: Set<FileSource>,
    namespaces: { entry: ImportSource; from: SourceFile }[],
  ): Promise<boolean> {
    seen.add(file);
    for (const entry of file.imports) {
      if (++this.#imports > this.#limits.maxImports) {
        const most = this.#limits.maxImports.toLocaleString("en");
        this.#report.error("too-many-imports", `more than ${most} files are imported`, entry.range, {
          hint: "namespaces that import namespaces multiply: import each pipeline once",
        });
        return false;
      }
      if (entry.namespace !== undefined) {
        namespaces.push({ entry, from: file.file });
        continue;
      }
      const fragment = await this.#open(entry, file.file);
      if (fragment && !seen.has(fragment) && !(await this.#gather(fragment, files, seen, namespaces))) {
        return false;
      }
    }
    files.push(file);
    return true;
  }

  async #open({ path, range }: ImportSource, from: SourceFile): Promise<FileSource | undefined> {
    const shown = pathFrom(from.path, path);
    const absolute = resolve(this.#cwd, shown);
    const identity = await identityOf(absolute);
    const file =
      identity !== undefined && this.#files.has(identity)
        ? this.#files.get(identity)
        : await this.#readImport(shown, absolute, range);
    if (identity !== undefined) this.#files.set(identity, file);
    if (!file) this.complete = false;
    return file;
  }

  async #readImport(path: string, absolute: string, at: SourceRange): Promise<FileSource | undefined> {
    const found = await stat(absolute).catch(() => undefined);
    // To open a pipe would wait for whoever writes to it.
    if (found && !found.isFile() && !found.isDirectory()) {
      this.#report.error("file-unreadable", `\`${path}\` is no file`, at, {
        hint: "import a YAML file",
      });
      return undefined;
    }
    const { maxBytes, maxTotalBytes } = this.#limits;
    const source = await readSource({ path, cwd: this.#cwd, maxBytes, report: this.#report, at });
    if (!source) return undefined;
    if (this.#bytes + source.text.length > maxTotalBytes) {
      this.#report.error(
        "file-too-large",
        `with \`${path}\` the files of this pipeline are larger than ${maxTotalBytes.toLocaleString("en")} bytes`,
        at,
        { hint: "a pipeline is written by hand; keep data in files of their own" },
      );
      return undefined;
    }
    return this.#parse(source);
  }

  #parse(source: SourceFile): FileSource | undefined {
    this.#bytes += source.text.length;
    this.files.push(source);
    const parsed = parseYaml(source, this.#limits.maxAliased, this.#report, this.#aliased);
    if (!parsed) {
      this.complete = false;
      return undefined;
    }
    this.#aliased = parsed.aliased;
    const { brokenAt, tree } = parsed;
    if (brokenAt === undefined) return readStructure(source, tree, this.#report);
    this.complete = false;
    this.broken.set(source, brokenAt);
    const problems = createReport();
    const file = readStructure(source, tree, problems);
    for (const problem of problems.all()) if (holdsAnyway(problem, brokenAt)) this.#report.add(problem);
    return file;
  }
}

/** One name for a file however it is reached; undefined where there is none. */
async function identityOf(absolute: string): Promise<string | undefined> {
  return await realpath(absolute).catch(() => undefined);
}

/** A path that a file mentions, as it is shown and opened. */
export function pathFrom(file: string, path: string): string {
  if (path.startsWith("~/")) return join(homedir(), path.slice(2));
  return isAbsolute(path) ? path : join(dirname(file), path);
}
