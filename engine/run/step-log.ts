import { createHash } from "node:crypto";
import { join } from "node:path";

/** File names may have 255 bytes; what is longer keeps its beginning and gets a hash. */
const longest = 180;

/**
 * A file or folder name that stands for a text: itself where it is harmless, otherwise with the rest percent-encoded,
 * so that no name leads out of its folder and no two texts share one.
 */
export function safeName(text: string): string {
  const encoded = [...Buffer.from(text, "utf8")]
    .map((byte, i) => {
      const character = String.fromCharCode(byte);
      const harmless = /[A-Za-z0-9_=,+[\]-]/.test(character) || (character === "." && i > 0);
      return harmless ? character : `%${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
  if (encoded.length <= longest) return encoded;
  return `${encoded.slice(0, longest)}~${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
}

/** Path of a step's log in a run's folder. The file is there once the step has started. */
export function stepLogPath(runFolder: string, stepId: string): string {
  return join(runFolder, "steps", `${safeName(stepId)}.log`);
}
