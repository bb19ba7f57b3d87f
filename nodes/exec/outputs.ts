import type { Stats } from "node:fs";
import { chmod, lstat, readdir, realpath } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { NodeError, portKind } from "../../engine/sdk.ts";
import type { RunContext } from "../../engine/sdk.ts";
import { outputPort } from "../exec.ts";
import type { ExecParams } from "../exec.ts";
import { readMetrics } from "../records.ts";

/** More files than this in one output make every later look at it slow. */
const most = 200_000;

/**
 * Sees that a program left every declared output as it was declared, and nothing in them that does not belong to it.
 *
 * @param own files that links may lead to beside the outputs: the inputs
 * @throws NodeError naming the output
 */
export async function checkOutputs(
  { outputs, params }: Pick<RunContext<ExecParams>, "outputs" | "params">,
  own: readonly string[],
): Promise<void> {
  const declared = Object.entries(params.outputs);
  const roots = declared.map(([name]) => outputs[name]?.path as string);
  // Of an output itself only its place counts: it may be a link, to anywhere.
  const real = (path: string): Promise<string> => realpath(path).catch(() => path);
  const places = roots.map(async (path) => join(await real(dirname(path)), basename(path)));
  const allowed = await Promise.all([...own.map(real), ...places]);
  for (const [i, [name, type]] of declared.entries()) {
    await checkOutput(name, portKind(outputPort(type)), roots[i] as string, allowed);
    if (type === "metrics") await checkMetrics(name, roots[i] as string);
  }
}

async function checkOutput(
  name: string,
  kind: "file" | "folder",
  path: string,
  allowed: readonly string[],
): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) {
    throw new NodeError(`the program ended well, but did not write its output ${name}`, {
      hint: `it writes it to \`$(out.${name})\`, a ${kind}`,
    });
  }
  if (kind === "file") {
    if (found.isDirectory()) {
      throw new NodeError(`the output ${name} is a folder, and it is declared as a file`, {
        hint: "write a file there, or declare another port type",
      });
    }
    await checkFile(name, path, found, allowed);
    return;
  }
  if (!found.isDirectory()) {
    throw new NodeError(`the output ${name} is not a folder, and it is declared as one`, {
      hint: `\`$(out.${name})\` is a folder that is there already: write files into it`,
    });
  }
  const files = await checkFolder(name, path, allowed, 0);
  if (files === 0) {
    throw new NodeError(`the program ended well, but left its output ${name} empty`, {
      hint: `\`$(out.${name})\` is a folder: write at least one file into it`,
    });
  }
}

/** @returns the number of files so far */
async function checkFolder(
  name: string,
  folder: string,
  allowed: readonly string[],
  before: number,
): Promise<number> {
  let files = before;
  const { mode } = await lstat(folder);
  // A folder that may not be read or written could neither be published nor removed.
  if ((mode & 0o700) !== 0o700) await chmod(folder, 0o700);
  for (const entry of await readdir(folder)) {
    const path = join(folder, entry);
    const found = await lstat(path).catch(() => undefined);
    // A name that is not UTF-8 cannot be found again.
    if (!found) refuse(name, path, "has a name that is not UTF-8");
    if (found.isDirectory()) {
      files = await checkFolder(name, path, allowed, files);
      continue;
    }
    await checkFile(name, path, found, allowed);
    if (++files > most) {
      throw new NodeError(`the output ${name} has more than ${most.toLocaleString("en")} files`, {
        hint: "pack them into fewer files",
      });
    }
  }
  return files;
}

async function checkFile(
  name: string,
  path: string,
  found: Stats,
  allowed: readonly string[],
): Promise<void> {
  if (found.isSymbolicLink()) {
    const target = await realpath(path).catch(() => undefined);
    if (target === undefined) refuse(name, path, "is a link that leads nowhere");
    if (!allowed.some((root) => target === root || target.startsWith(root + sep))) {
      refuse(name, path, `is a link to ${target}, which is neither an input nor an output`);
    }
    return;
  }
  if (!found.isFile()) refuse(name, path, "is neither a file nor a folder");
  if ((found.mode & 0o400) === 0) await chmod(path, 0o600);
}

function refuse(output: string, path: string, why: string): never {
  throw new NodeError(`in the output ${output}, ${JSON.stringify(path)} ${why}`, {
    hint: "an output is a file, or a folder of files that the program wrote itself",
  });
}

async function checkMetrics(name: string, path: string): Promise<void> {
  try {
    await readMetrics(path);
  } catch (cause) {
    if (!(cause instanceof NodeError)) throw cause;
    // Where the output lay is of no use: it is removed with the step.
    throw new NodeError(`the output ${name} holds no metrics: ${cause.message.replace(path, "it")}`, {
      hint: 'metrics are one flat JSON object of numbers and texts, such as `{"auroc": 0.81, "dataset": "mine"}`',
      cause,
    });
  }
}
