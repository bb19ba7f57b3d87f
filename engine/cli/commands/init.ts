import { copyFile } from "node:fs/promises";
import { constants } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
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
        console.error(refusal(file, error));
        process.exitCode = 2;
        return;
      }
      console.log(`Wrote ${file}. Next:\n\n  ranflow plan ${file}\n  ranflow run ${file}`);
    });
}

function refusal(file: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "EEXIST":
      return `${file} is there already and stays as it is. Name another file: ranflow init other.yaml`;
    case "ENOENT":
      return `The folder of ${file} does not exist. Make it first, or name a file in one that does.`;
    case "EACCES":
    case "EROFS":
      return `${file} cannot be written here: ${error instanceof Error ? error.message : code}`;
    default:
      throw error;
  }
}
