import type { Json } from "../../engine/sdk.ts";
import { mapConcurrently } from "../captions/rewrite-all.ts";
import { ItemError } from "../chat/item-error.ts";
import { openChat, type TokenCounts } from "../chat/server.ts";
import { decodeImage, resizeBicubic, toRgb } from "../data/images.ts";
import { loadSharp } from "../data/sharp.ts";
import type { ImageText } from "../formats.ts";
import { noTokens, type Vlm, type VlmAnswer, type VlmContext } from "./vlm.ts";

/** Items kept together: enough that waiting for the slowest of them is no loss. */
const turnsTogether = 8;

/** A model behind an OpenAI-compatible server, asked about one image at a time. */
export async function openaiVlm({ params, blobs, seed, secret }: VlmContext): Promise<Vlm> {
  const chat = await openChat(params, secret);
  const { model = "", prompt, temperature, maxTokens, imageSide, retries, concurrency } = params;
  const source: Json = { openai: { model, prompt, temperature, maxTokens, imageSide, retries } };

  const ask = async ({ id, image }: ImageText, signal: AbortSignal): Promise<VlmAnswer> => {
    const [file] = await blobs.locate([image]);
    if (!file) throw new Error(`internal error: the image of ${id} was not located`);
    const content = { text: prompt, image: await imageUri(file.path, id, imageSide) };
    let tokens: TokenCounts = noTokens;
    for (let attempt = 0; attempt <= retries; attempt++) {
      const answer = await chat
        .ask(content, { temperature, maxTokens, seed: seed + attempt }, signal)
        .catch((error: unknown) => {
          if (error instanceof ItemError) return error;
          throw error;
        });
      const attempts = attempt + 1;
      if (answer instanceof ItemError)
        return { failed: answer.reason, passing: true, message: answer.message, attempts, tokens };
      tokens = {
        prompt: tokens.prompt + answer.tokens.prompt,
        completion: tokens.completion + answer.tokens.completion,
      };
      const text = answerText(answer.text);
      if (text !== "") return { text, attempts, tokens };
    }
    const message = `the model ${model} answers nothing about the image ${id}`;
    return { failed: "empty answer", passing: false, message, attempts: retries + 1, tokens };
  };

  return {
    label: `openai (${model})`,
    source: () => source,
    atOnce: turnsTogether * concurrency,
    answer: (pairs, onAnswer, signal) =>
      mapConcurrently(
        pairs,
        concurrency,
        async (pair, stop) => {
          const answer = await ask(pair, stop);
          onAnswer();
          return answer;
        },
        signal,
      ),
  };
}

/** An answer in one line, without what a model thought before it. */
export function answerText(answer: string): string {
  return answer
    .replace(/<think>[\s\S]*?(?:<\/think>|$)/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

/** The image as every server takes it: an 8-bit RGB PNG of a bounded size, in a data URI. */
async function imageUri(path: string, id: string, side: number): Promise<string> {
  const image = await decodeImage(path, id);
  const scale = Math.min(1, side / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((length) =>
    Math.max(1, Math.round(scale * length)),
  ) as [number, number];
  const sharp = await loadSharp();
  const png = await sharp(toRgb(resizeBicubic(image, width, height)), { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  return `data:image/png;base64,${png.toString("base64")}`;
}
