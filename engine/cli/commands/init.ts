import { copyFile } from "node:fs/promises";
import { constants } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { shellWord } from "../../report/shell-word.ts";
import { fail } from "../exit.ts";
import { packageRoot } from "../package-root.ts";

/** `ranflow init [FILE]`: a commented pipeline to start from. */
export function register(program: Command): void {
  program
    .command("init")
    .summary("write a commented pipeline to start from")
    .description(
      "Writes a commented pipeline that runs as it is, on synthetic data, and says where to put your own.",
    )
    .argument("[file]", "the file to write", "pipeline.yaml")
    .action(async (file: string) => {
      try {
        await copyFile(join(packageRoot(), "pipelines", "template.yaml"), file, constants.COPYFILE_EXCL);
      } catch (error) {
        return fail(refusal(file, error));
      }
      console.log(
        `Wrote ${file}. Next:\n\n  ranflow plan ${shellWord(file)}\n  ranflow run ${shellWord(file)}`,
      );
    });
}

function refusal(file: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case undefined:
      throw error;
    case "EEXIST":
      return `${file} is there already and stays as it is\n  name another file: ranflow init other.yaml`;
    case "ENOENT":
      return `the folder of ${file} does not exist\n  make it first, or name a file in one that does`;
    default:
      return `${file} cannot be written: ${code}`;
  }
}
