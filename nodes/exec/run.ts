import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fillTemplate } from "../../engine/sdk.ts";
import type { RunContext } from "../../engine/sdk.ts";
import type { ExecParams } from "../exec.ts";
import { checkEnd } from "./end.ts";
import { programEnvironment } from "./environment.ts";
import { placeFiles } from "./files.ts";
import { placeInputs } from "./inputs.ts";
import { openProgramOutput } from "./output.ts";
import { checkOutputs } from "./outputs.ts";
import { findProgram } from "./program.ts";
import { removeAll } from "./remove.ts";
import { supervise } from "./supervise.ts";

/** Runs the program of an `exec` step in a private folder, and looks at what it wrote. */
export async function runExec(context: RunContext<ExecParams>): Promise<void> {
  const { outputs, params, scratch, seed, signal } = context;
  const work = join(scratch, "work");
  const inputFolder = join(scratch, "in");
  const temporary = join(scratch, "tmp");
  for (const folder of [work, inputFolder, temporary]) await mkdir(folder);
  try {
    await placeFiles(context.external, work);
    const inputs = await placeInputs(context, inputFolder);
    const valueOf = (name: string): string => {
      if (name === "seed") return String(seed);
      if (name === "scratch") return temporary;
      const [root, port = ""] = name.split(".");
      const path = root === "in" ? inputs.paths.get(port) : outputs[port]?.path;
      if (path === undefined) throw new Error(`internal error: the step does not know $(${name})`);
      return path;
    };
    const [command = "", ...args] = params.command.map((text) => fillTemplate(text, valueOf));
    const env = programEnvironment(context, temporary);
    const file = await findProgram(command, { path: env["PATH"], work });
    context.provenance({ program: file });
    const output = openProgramOutput(context, params.stdout && outputs[params.stdout]?.path);
    const end = await supervise(
      { file, command, args, cwd: work, env },
      {
        signal,
        grace: params.graceSeconds * 1000,
        output,
        warn: (message) => context.log(message, "warning"),
      },
    );
    await output.close();
    signal.throwIfAborted();
    checkEnd(basename(command), end, output.tail());
    await inputs.check();
    // Links into the scratch folder would lead nowhere when the step is over.
    await checkOutputs(context, inputs.originals);
  } finally {
    await removeAll(scratch);
  }
}
