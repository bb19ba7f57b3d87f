import { mkdir, mkdtemp, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { checkEnd } from "../exec/end.ts";
import { programEnvironment } from "../exec/environment.ts";
import { placeFiles } from "../exec/files.ts";
import { openProgramOutput } from "../exec/output.ts";
import { findProgram } from "../exec/program.ts";
import { removeAll } from "../exec/remove.ts";
import { supervise } from "../exec/supervise.ts";
import type { ImageText } from "../formats.ts";
import { answerOf, besideAnswers, readAnswers } from "./answers.ts";
import type { Vlm, VlmContext } from "./vlm.ts";

/** A program of the user's own, started for many items at once: loading a model is what takes its time. */
export function commandVlm(context: VlmContext): Vlm {
  const { params, log } = context;
  const { command, prompt, version = null } = params;
  const files = [...context.external].map(([name, { digest }]) => [name, digest]);
  return {
    label: `command (${basename(command[0] ?? "")})`,
    // All that the program is given of an item: it may make something of each.
    source: ({ id, image, caption }) => ({
      command,
      prompt,
      version,
      files,
      env: environmentOf(context),
      given: { id, image: image.digest, caption },
    }),
    atOnce: params.itemsPerStart,
    async answer(pairs, onAnswer) {
      const folder = await mkdtemp(join(context.scratch, "vlm-"));
      try {
        const answers = join(folder, "answers.jsonl");
        const problem = await runProgram(context, folder, answers, pairs);
        if (problem !== undefined) log(problem, "warning");
        const lines = (await stat(answers).catch(() => undefined))
          ? await readAnswers(answers, (message) => log(message, "warning"))
          : new Map<string, never>();
        const missing = problem === undefined ? "not answered by the program" : "the program failed";
        const options = { missing, passing: true, fileOf: besideAnswers(answers) };
        return await Promise.all(
          pairs.map(async ({ id }) => {
            const answer = await answerOf(context, id, lines.get(id), options);
            onAnswer();
            return answer;
          }),
        );
      } finally {
        await removeAll(folder);
      }
    },
  };
}

function environmentOf({ params }: VlmContext): Record<string, string | null> {
  return Object.fromEntries(params.env.map((name) => [name, process.env[name] ?? null]));
}

/** @returns what went wrong with the program, where something did: what it has answered until then counts */
async function runProgram(
  context: VlmContext,
  folder: string,
  answers: string,
  pairs: readonly ImageText[],
): Promise<string | undefined> {
  const { params, blobs, signal, log, seed } = context;
  const [work, temporary] = [join(folder, "work"), join(folder, "tmp")] as const;
  for (const each of [work, temporary]) await mkdir(each);
  await placeFiles(context.external, work);
  const items = join(folder, "items.jsonl");
  const images = await blobs.locate(pairs.map(({ image }) => image));
  const lines = pairs.map(({ id, caption }, index) =>
    JSON.stringify({ id, image: images[index]?.path, caption, prompt: params.prompt }),
  );
  await writeFile(items, lines.map((line) => `${line}\n`).join(""));

  const values: Readonly<Record<string, string>> = { items, answers, seed: String(seed) };
  const [command = "", ...args] = params.command.map((text) =>
    text.replaceAll(/\{(items|answers|seed)\}/g, (_, name: string) => values[name] as string),
  );
  const environment = programEnvironment(context, temporary);
  const file = await findProgram(command, { path: environment["PATH"], work });
  const output = openProgramOutput(context, undefined);
  const end = await supervise(
    { file, command, args, cwd: work, env: environment },
    { signal, grace: params.graceSeconds * 1000, output, warn: (message) => log(message, "warning") },
  );
  await output.close();
  signal.throwIfAborted();
  try {
    checkEnd(basename(command), end, output.tail());
    return undefined;
  } catch (error) {
    if (error instanceof NodeError) return error.message;
    throw error;
  }
}
