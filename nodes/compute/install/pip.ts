import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../../../engine/sdk.ts";
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
 * Downloads wheels with the user's pip, from whatever index or mirror it is set to: these and not what they depend on.
 *
 * @param specs as pip takes them, `name==1.2.3`
 * @returns paths of the wheels in `folder`
 */
export async function downloadWheels(
  context: InstallContext,
  programs: Programs,
  folder: string,
  specs: readonly string[],
): Promise<readonly string[]> {
  const asked = specs.join(", ");
  await mkdir(join(folder, "tmp"), { recursive: true });
  context.report({ kind: "line", text: `fetching ${asked} with pip` });
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
        specs,
      ].flat(),
      {
        // pip unpacks into the temporary folder, which on clusters is often small.
        env: { TMPDIR: join(folder, "tmp"), PIP_DISABLE_PIP_VERSION_CHECK: "1" },
        onLine: progressReader(context, specs),
      },
    );
    if (downloaded.ok) return findWheels(folder);
    first ||= downloaded.output;
    if (isNoSpace(downloaded.output)) throw noSpace(folder);
    // Only a missing version is worth asking again for another Python.
    if (
      isNetworkFailure(downloaded.output) ||
      !/No matching distribution|Could not find a version/.test(downloaded.output)
    )
      break;
  }
  throw pipProblem(first, asked);
}

/** Reports what pip says: the file it is at, where there are several, and its bytes, where pip is new enough. */
function progressReader(context: InstallContext, specs: readonly string[]): (line: string) => void {
  let what = specs[0] ?? "";
  return (line) => {
    const [, file, size] = /^\s*Downloading (\S+\.whl)(?: \(([^)]+)\))?/.exec(line) ?? [];
    if (file && specs.length > 1) {
      what = file.split("/").at(-1) ?? file;
      context.report({ kind: "line", text: `  ${what}${size ? ` (${size})` : ""}` });
    }
    const [, done, total] = /^Progress (\d+) of (\d+)$/.exec(line) ?? [];
    if (done && total) context.report({ kind: "bytes", what, done: Number(done), total: Number(total) });
  };
}

async function hasRawProgress(context: InstallContext, programs: Programs): Promise<boolean> {
  const { output } = await run(context, programs.python, ["-m", "pip", "--version"]);
  const [, major = "0", minor = "0"] = /^pip (\d+)\.(\d+)/m.exec(output) ?? [];
  return Number(major) * 100 + Number(minor) >= 2401;
}

async function findWheels(folder: string): Promise<readonly string[]> {
  const wheels = (await readdir(folder)).filter((name) => name.endsWith(".whl")).toSorted();
  if (wheels.length > 0) return wheels.map((name) => join(folder, name));
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
