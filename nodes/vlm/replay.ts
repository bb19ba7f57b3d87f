import { basename, dirname, isAbsolute, normalize } from "node:path";
import { NodeError, type ScanResult } from "../../engine/sdk.ts";
import { answerOf, readAnswers, type AnswerLine } from "./answers.ts";
import type { Vlm, VlmContext } from "./vlm.ts";

/** Recorded answers: a file of them, and the images that it names beside it. */
export async function replayVlm(context: VlmContext): Promise<Vlm> {
  const { params, external, log } = context;
  const file = external.get(basename(params.replay ?? ""));
  if (!file) throw new Error("internal error: the recorded answers were not scanned");
  const lines = await readAnswers(file.path, (message) => log(message, "warning"));
  const fileOf = (image: string): string => external.get(normalize(image))?.path ?? "";
  return {
    label: "replay",
    source: ({ id }) => ({ replay: recorded(lines.get(id), external) }),
    atOnce: 64,
    answer: (pairs, onAnswer) =>
      Promise.all(
        pairs.map(async ({ id }) => {
          const options = { missing: "not recorded", passing: false, fileOf };
          const answer = await answerOf(context, id, lines.get(id), options);
          onAnswer();
          return answer;
        }),
      ),
  };
}

/** A recorded answer by its content. */
function recorded(line: AnswerLine | undefined, external: VlmContext["external"]): string | null {
  if (line?.image !== undefined) return external.get(normalize(line.image))?.digest ?? null;
  return line?.text ?? null;
}

/** The file of answers and the images that it names. */
export async function scanReplay(replay: string | undefined): Promise<ScanResult | undefined> {
  if (replay === undefined) return undefined;
  const lines = await readAnswers(replay, () => undefined).catch((cause: unknown) => {
    throw new NodeError(`the recorded answers ${replay} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  });
  const images = [...lines.values()].flatMap(({ image }) => (image === undefined ? [] : [image]));
  const outside = images.find((image) => isAbsolute(image) || normalize(image).startsWith(".."));
  if (outside !== undefined)
    throw new NodeError(`${replay} names the image ${outside}, which does not lie below its folder`, {
      hint: "Recorded images lie beside the file of answers, or in folders there.",
    });
  const files = new Set([basename(replay), ...images.map(normalize)]);
  return { dataset: "recorded answers", root: dirname(replay), files: [...files].toSorted() };
}
