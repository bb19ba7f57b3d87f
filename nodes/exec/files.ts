import { createHash } from "node:crypto";
import { createReadStream, constants } from "node:fs";
import { chmod, copyFile, mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { NodeError } from "../../engine/sdk.ts";
import type { LocatedFile } from "../../engine/sdk.ts";

/** Copies the program's own files into its working directory, and sees that they are those which the key names. */
export async function placeFiles(files: ReadonlyMap<string, LocatedFile>, work: string): Promise<void> {
  for (const [name, { digest, path }] of files) {
    const copy = join(work, name);
    await mkdir(dirname(copy), { recursive: true });
    const found = await copyFile(path, copy, constants.COPYFILE_FICLONE).then(
      () => digestOf(copy),
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      },
    );
    if (found !== digest) {
      throw new NodeError(
        `${path} ${found === undefined ? "is gone" : "changed"} since this run looked at it`,
        {
          hint: "run again: the step then runs with the files as they are",
        },
      );
    }
    const { mode } = await stat(copy);
    await chmod(copy, (mode & 0o777) | 0o600);
  }
}

/** The digest of a file's content, `sha256:` and hexadecimal digits. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return `sha256:${hash.digest("hex")}`;
}
