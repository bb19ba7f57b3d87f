import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { NodeError } from "../../engine/sdk.ts";
import { findProgram } from "../exec/program.ts";

/** A Python that can train with OpenCLIP. */
export interface OpenClipPython {
  /** Absolute path. */
  readonly file: string;
  /** GPUs that its torch can use. */
  readonly gpus: number;
  /** For the result's provenance. */
  readonly versions: { readonly python: string; readonly torch: string; readonly open_clip: string };
}

/** What `probe.py` prints. */
interface Found {
  readonly python: string;
  readonly absent: readonly string[];
  readonly broken: Readonly<Record<string, string>>;
  readonly versions?: { readonly torch: string; readonly open_clip: string };
  readonly gpus?: number;
}

/** Packages by the names under which Python imports them, where these differ. */
const packages: Readonly<Record<string, string>> = {
  open_clip: "open_clip_torch",
  open_clip_train: "open_clip_torch",
};

const another =
  "name another Python with the parameter `python`, or with RANFLOW_PYTHON in the environment that ranflow is started in";

/**
 * Finds a Python and sees that it has what training needs.
 *
 * @param command a name to look up in PATH, or a path
 * @throws NodeError naming everything that is missing at once
 */
export async function openClipPython(
  command: string,
  { env, work, signal }: { env: Readonly<Record<string, string>>; work: string; signal: AbortSignal },
): Promise<OpenClipPython> {
  const file = await findProgram(command, { path: env["PATH"], work }).catch((cause: unknown) => {
    if (!(cause instanceof NodeError)) throw cause;
    throw new NodeError(cause.message, { hint: `install Python with OpenCLIP, or ${another}`, cause });
  });
  const script = fileURLToPath(new URL("./probe.py", import.meta.url));
  const ran = await execa(file, [script], {
    cwd: work,
    env: { ...env },
    extendEnv: false,
    stdin: "ignore",
    reject: false,
    cancelSignal: signal,
  });
  signal.throwIfAborted();
  const found = answerIn(ran.stdout);
  if (!found) {
    const detail = [ran.stdout, ran.stderr].join("\n").trim();
    throw new NodeError(`${file} does not answer as a Python does`, {
      hint: another,
      ...(detail !== "" && { detail }),
    });
  }
  const { absent, broken, gpus = 0, python, versions } = found;
  if (versions && Number.parseInt(versions.open_clip, 10) < 3) {
    throw new NodeError(`${file} has open_clip ${versions.open_clip}, and version 3 or later is needed`, {
      hint: `update it: \`${file} -m pip install --upgrade 'open_clip_torch[training]'\`, or ${another}`,
    });
  }
  if (versions) return { file, gpus, versions: { python, ...versions } };
  const lacks = absent.length > 0 ? [`lacks ${absent.join(", ")}`] : [];
  const fails = Object.entries(broken).map(([name, why]) => `cannot import ${name} (${why})`);
  throw new NodeError(`the Python ${python} at ${file} ${[...lacks, ...fails].join(", and ")}`, {
    hint: `\`${file} -m pip install ${wanted(absent)}\` installs what OpenCLIP's training needs; or ${another}`,
  });
}

function wanted(absent: readonly string[]): string {
  const names = absent.map((name) => packages[name] ?? name);
  // The extra brings webdataset, pandas and whatever else the training imports.
  const known = new Set(["open_clip_torch", "webdataset", "pandas", "braceexpand", "torchvision"]);
  const others = names.filter((name) => !known.has(name));
  return [...new Set([...others, "'open_clip_torch[training]'"])].join(" ");
}

function answerIn(stdout: string): Found | undefined {
  const line = stdout.split("\n").findLast((text) => text.startsWith('{"ranflow"'));
  if (line === undefined) return undefined;
  try {
    return (JSON.parse(line) as { readonly ranflow: Found }).ranflow;
  } catch {
    return undefined;
  }
}
