import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { NodeError } from "../../../engine/sdk.ts";

/** How an installation reaches the world outside this process. */
export interface InstallContext {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly report: (event: InstallEvent) => void;
}

/** What an installation says while it works. */
export type InstallEvent =
  | { readonly kind: "line"; readonly text: string }
  /** Something long: bytes done of the total. */
  | { readonly kind: "bytes"; readonly what: string; readonly done: number; readonly total: number };

/** Programs an installation needs, as found on PATH. */
export interface Programs {
  readonly npm: string;
  readonly python: string;
  readonly compiler: string;
  readonly tar: string;
}

/** How a program ended. */
export interface Outcome {
  readonly ok: boolean;
  /** Both streams, in the order they were written. */
  readonly output: string;
}

/** Absolute path of a program on PATH, or undefined. */
function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  if (name.includes("/")) return isExecutable(name) ? name : undefined;
  return (env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Finds every program that is needed. @throws NodeError that names all missing ones, each with its fix */
export async function findPrograms(context: InstallContext): Promise<Programs> {
  const { env } = context;
  const missing: string[] = [];
  const need = (found: string | undefined, otherwise: string): string => {
    if (found === undefined) missing.push(otherwise);
    return found ?? "";
  };
  const npm = need(findProgram("npm", env), "npm (comes with Node.js: https://nodejs.org)");
  const compiler = need(
    [env["CXX"], "g++", "c++", "clang++"]
      .map((name) => (name ? findProgram(name, env) : undefined))
      .find((found) => found !== undefined),
    "a C++ compiler (apt install g++, dnf install gcc-c++, conda install gxx, or set CXX)",
  );
  const tar = need(findProgram("tar", env), "tar (apt install tar)");
  const interpreter = findProgram("python3", env) ?? findProgram("python", env);
  const python = need(interpreter, "python3 with pip (apt install python3-pip, or conda install python pip)");
  if (interpreter && !(await run(context, python, ["-m", "pip", "--version"])).ok)
    missing.push(`pip for ${python} (apt install python3-pip, or ${python} -m ensurepip --user)`);
  if (missing.length > 0)
    throw new NodeError(`installing tensorflow needs ${missing.join("; ")}`, {
      hint: "install what is missing and start again, or go on with --backend wasm, which needs nothing",
    });
  return { npm, python, compiler, tar };
}

/**
 * Runs a program to its end; nothing reaches the terminal.
 *
 * @param onLine sees each line as it comes
 * @throws the signal's reason when aborted
 */
export async function run(
  context: InstallContext,
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; onLine?: (line: string) => void } = {},
): Promise<Outcome> {
  const child = execa(program, args, {
    all: true,
    reject: false,
    stdin: "ignore",
    extendEnv: false,
    env: { ...context.env, ...options.env },
    cancelSignal: context.signal,
    forceKillAfterDelay: 2000,
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  if (options.onLine) for await (const line of child.iterable({ from: "all" })) options.onLine(line);
  const result = await child;
  context.signal.throwIfAborted();
  return { ok: !result.failed, output: result.all ?? result.originalMessage ?? "" };
}

/** The last lines of a program's output, for messages. */
export function tail(output: string, lines = 12): string {
  return output.trim().split("\n").slice(-lines).join("\n");
}

/** True where a program's output says that it could not reach a server. */
export function isNetworkFailure(output: string): boolean {
  return /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Name or service not known|Temporary failure in name resolution|Connection refused|Network is unreachable|ProxyError|SSLError|SELF_SIGNED_CERT|CERT_/.test(
    output,
  );
}

/** True where a program's output says that a disk or quota is full. */
export function isNoSpace(output: string): boolean {
  return /ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/.test(output);
}

/** The error of a full disk. */
export function noSpace(folder: string, cause?: unknown): NodeError {
  return new NodeError(`no space left while installing into ${folder}`, {
    hint: "free some space there (about 1.5 GB, 9 GB with --cuda), or name another folder with RANFLOW_BACKENDS; nothing was left half-installed",
    cause,
  });
}
