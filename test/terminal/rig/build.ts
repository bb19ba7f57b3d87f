import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Compiles the UI and the fixture that shows it; a pty runs plain JavaScript. Returns the fixture's path. */
export async function buildShowRun(): Promise<string> {
  const tsc = `${root}node_modules/typescript/bin/tsc`;
  await promisify(execFile)(process.execPath, [tsc, "-p", `${root}test/terminal/tsconfig.json`], {
    cwd: root,
  });
  return `${root}node_modules/.cache/ranflow-terminal/test/terminal/fixtures/show-run.js`;
}
