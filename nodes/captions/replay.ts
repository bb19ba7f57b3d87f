import { readFile } from "node:fs/promises";
import { NodeError } from "../../engine/sdk.ts";
import { captionInAnswer } from "./prompt.ts";
import type { Rewriter } from "./rewriter.ts";

/**
 * Answers recorded before: JSON lines `{ "caption": ..., "rewrite": ... }`. Several lines for one caption are its
 * answers in order.
 *
 * @param path file to read
 * @throws NodeError naming the line that cannot be understood
 */
export async function replayRewriter(path: string): Promise<Rewriter> {
  const answers = new Map<string, string[]>();
  const lines = (await readFile(path, "utf8")).replace(/^\ufeff/, "").split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const { caption, rewrite } = parse(line, `${path}:${index + 1}`);
    answers.set(caption, [...(answers.get(caption) ?? []), captionInAnswer(rewrite)]);
  }
  return {
    label: "replay",
    source: (caption) => ({ replay: answers.get(caption) ?? [] }),
    answer: async (caption, attempt) => {
      const text = answers.get(caption)?.[attempt];
      return text === undefined ? undefined : { text };
    },
  };
}

function parse(line: string, at: string): { caption: string; rewrite: string } {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    record = undefined;
  }
  const { caption, rewrite } = (record ?? {}) as Record<string, unknown>;
  if (typeof caption === "string" && typeof rewrite === "string") return { caption, rewrite };
  throw new NodeError(`${at} is no recorded rewrite`, {
    hint: 'each line is one JSON object {"caption": "...", "rewrite": "..."}',
  });
}
