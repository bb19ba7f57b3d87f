import { StringDecoder } from "node:string_decoder";
import { stripVTControlCharacters } from "node:util";

/** A line that a program printed. */
export interface Line {
  readonly text: string;
  /** It ended with a carriage return alone: the next one is meant to be printed over it. */
  readonly passing: boolean;
}

/** What of a line is kept, in UTF-16 code units. */
export const longestLine = 4_000;

/**
 * Takes a program's output apart into lines, at `\n`, `\r\n` and `\r`. Terminal control sequences are left out; of
 * lines without end only the beginning is kept, so that memory stays bounded whatever is printed.
 */
export function lineSplitter(onLine: (line: Line) => void): {
  readonly write: (chunk: Uint8Array) => void;
  /** The output has ended: what is left is a line. */
  readonly end: () => void;
} {
  const decoder = new StringDecoder("utf8");
  let held = "";
  let dropped = 0;
  /** A carriage return came last: whether it is the end of a line depends on what follows. */
  let returned = false;

  const add = (text: string): void => {
    // Control sequences take room and are stripped later, so that some more is held than is shown.
    const room = Math.max(0, 2 * longestLine - held.length);
    held += text.slice(0, room);
    dropped += Math.max(0, text.length - room);
  };
  const emit = (passing: boolean): void => {
    const clean = stripVTControlCharacters(held)
      // oxlint-disable-next-line no-control-regex -- what is left of control characters would disturb the terminal
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
    const left = dropped + Math.max(0, clean.length - longestLine);
    const more = left > 0 ? ` ... and ${left.toLocaleString("en")} more characters` : "";
    onLine({ text: clean.slice(0, longestLine) + more, passing });
    held = "";
    dropped = 0;
  };
  const feed = (text: string): void => {
    let from = 0;
    if (returned && text !== "") {
      returned = false;
      emit(text[0] !== "\n");
      if (text[0] === "\n") from = 1;
    }
    for (let at = from; at < text.length; at++) {
      const character = text[at];
      if (character !== "\n" && character !== "\r") continue;
      add(text.slice(from, at));
      from = at + 1;
      if (character === "\n") emit(false);
      else if (at + 1 === text.length) returned = true;
      else if (text[at + 1] === "\n") {
        emit(false);
        at++;
        from++;
      } else emit(true);
    }
    add(text.slice(from));
  };

  return {
    write: (chunk) => feed(decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))),
    end() {
      feed(decoder.end());
      if (returned || held !== "" || dropped > 0) emit(false);
      returned = false;
    },
  };
}
