import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One folder for every temporary file of a test run, so that a run leaves nothing behind, whatever ended it early. */
export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-tests-"));
  // Tests of a store that belongs to somebody else come here as another user.
  await chmod(folder, 0o755);
  process.env.TMPDIR = folder;
  return async () => {
    try {
      // A process that a test left may still be writing.
      await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    } catch (error) {
      process.stderr.write(`${folder} is left behind: ${String(error)}\n`);
    }
  };
}
