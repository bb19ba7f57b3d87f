import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Absent } from "../tool.ts";

const run = promisify(execFile);

/** A program from PyPI in an environment of its own under `folder`: its path and version, or why it cannot be had. */
export async function fromPyPI(
  name: string,
  version: string,
  folder: string,
): Promise<{ readonly path: string; readonly version: string } | Absent> {
  const environment = join(folder, name);
  const bin = join(environment, "bin");
  try {
    await run("python3", ["-m", "venv", environment]);
    await run(join(bin, "pip"), ["install", "--quiet", "--disable-pip-version-check", `${name}==${version}`]);
    const { stdout } = await run(join(bin, name), ["--version"]);
    return { path: join(bin, name), version: stdout.trim() };
  } catch (error) {
    const { stderr = "", message } = error as Error & { readonly stderr?: string };
    return { name, why: `not installed: ${(stderr || message).trim().split("\n").at(-1) ?? ""}` };
  }
}
