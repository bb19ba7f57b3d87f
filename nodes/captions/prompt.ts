/**
 * The default prompt: input, objectives, guidance, as PromptAttack orders them, with the objectives of the RAN paper
 * (METHOD 5). `{caption}` stands for the caption.
 */
export const defaultTemplate = `The original caption of a radiology image is: "{caption}".
Write a new caption that meets all three conditions:
(a) replace each mentioned body part or anatomical location with a different one;
(b) replace words that describe symptoms, findings, size, side or change with their opposites;
(c) keep every other word, the length and the report style, so that the caption still reads naturally but no longer describes the image.
Change as few words as possible. Output only the new caption.
"{caption}" ->`;

/** The prompt for one caption. */
export function fillTemplate(template: string, caption: string): string {
  return template.replaceAll("{caption}", () => caption);
}

const prefix =
  /^(?:sure[^:\n]*:|here(?: is|'s)[^:\n]*:|(?:the )?(?:new|rewritten|modified) caption(?: is)?:|->)\s*/i;

const quotes: readonly (readonly [string, string])[] = [
  ['"', '"'],
  ["“", "”"],
  ["'", "'"],
  ["‘", "’"],
  ["`", "`"],
];

/**
 * The caption in a model's answer: without reasoning in `<think>` tags, phrases such as "Here is the new caption:",
 * enclosing quotes and line breaks. Empty where the answer holds none.
 */
export function captionInAnswer(answer: string): string {
  const lines = answer
    .replace(/<think>[\s\S]*?(?:<\/think>|$)/g, "")
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  // An announcement on a line of its own is followed by the caption; what comes after that is commentary.
  const line = lines.map((text) => text.replace(prefix, "")).find((text) => text !== "") ?? "";
  return unquote(line).replace(/\s+/g, " ").trim();
}

function unquote(text: string): string {
  for (const [open, close] of quotes) {
    const inner = text.slice(1, -1);
    if (text.length > 1 && text.startsWith(open) && text.endsWith(close) && !inner.includes(open))
      return inner;
  }
  return text;
}
