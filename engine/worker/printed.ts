import { StringDecoder } from "node:string_decoder";
import type { Redactor } from "./redact.ts";

/** A line without end is not held back for longer than this, in UTF-16 code units. */
const longestLine = 65_536;

/**
 * Hides secrets in what this process prints. A secret may come in several writes: from the moment there is one to
 * hide, lines are printed when they are whole, and what is left of one at `flush`. Native libraries write past this, but
 * they have no secrets; JavaScript that prints one does not get through.
 */
export function redactStream(
  stream: Pick<NodeJS.WriteStream, "write">,
  redactor: Pick<Redactor, "active" | "redact">,
): { readonly flush: () => void } {
  const write = stream.write.bind(stream) as (chunk: unknown, ...rest: unknown[]) => boolean;
  const decoder = new StringDecoder("utf8");
  let held = "";
  stream.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    if (!redactor.active()) return write(chunk, ...rest);
    const encoding = typeof rest[0] === "string" ? (rest[0] as BufferEncoding) : "utf8";
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : Buffer.from(chunk as Uint8Array);
    held += decoder.write(bytes);
    const end = held.length > longestLine ? held.length : held.lastIndexOf("\n") + 1;
    const whole = redactor.redact(held.slice(0, end));
    held = held.slice(end);
    return write(whole, ...rest.filter((argument) => typeof argument === "function"));
  };
  return {
    flush() {
      if (held !== "") write(redactor.redact(held));
      held = "";
    },
  };
}
