import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import type { NodeLibrary } from "../../sdk.ts";
import { everyType } from "../../model/node-library.ts";
import { pipelineLibrary, pipelineOption } from "../context.ts";
import { fail } from "../exit.ts";

/** `ranflow schema [--pipeline FILE] [--out FILE]`: the JSON Schema of pipelines, for YAML editors. */
export function register(program: Command, library: () => Promise<NodeLibrary>): void {
  program
    .command("schema")
    .summary("write a JSON Schema of pipelines, for YAML editors")
    .description(
      "Writes a JSON Schema made from the node types. With `# yaml-language-server: $schema=pipeline.schema.json` as " +
        "its first line, a pipeline is completed and checked in YAML editors as you type. Give one that has plugins a " +
        "schema of its own, with --pipeline.",
    )
    .option(...pipelineOption)
    .option("-o, --out <file>", "write to this file instead of the terminal")
    .option("--json", "print JSON; it always is, and the option is here for symmetry")
    .action(async ({ out, pipeline }: { readonly out?: string; readonly pipeline?: string }) => {
      const { pipelineJsonSchema } = await import("../../schema/json-schema.ts");
      const types = pipeline === undefined ? await library() : await pipelineLibrary(pipeline);
      const text = `${JSON.stringify(pipelineJsonSchema(await everyType(types)), undefined, 2)}\n`;
      if (out === undefined) {
        process.stdout.write(text);
        return;
      }
      try {
        await writeFile(out, text);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === undefined) throw error;
        fail(`${out} cannot be written: ${code}`);
      }
    });
}
