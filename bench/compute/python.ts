import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const packages = ["torch==2.13.0", "open_clip_torch==3.3.0"];

/** A Python with PyTorch and open_clip, and how to get rid of it. */
export interface PythonEnvironment {
  readonly python: string;
  remove(): void;
}

/**
 * The Python of `given` (or of RANFLOW_BENCH_PYTHON), else a throw-away environment into which both packages are
 * installed from wherever pip is set to.
 */
export function pythonEnvironment(given: string | undefined): PythonEnvironment {
  const existing = given ?? process.env["RANFLOW_BENCH_PYTHON"];
  if (existing) return { python: existing, remove: () => undefined };
  const folder = mkdtempSync(join(tmpdir(), "ranflow-bench-"));
  const python = join(folder, "bin", "python");
  const run = (program: string, args: readonly string[]): void =>
    void execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  run("python3", ["-m", "venv", folder]);
  run(python, ["-m", "pip", "install", "--quiet", ...packages]);
  return { python, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
