/** A secret as it may be quoted. */
export interface SecretForms {
  /** The whole of it, as it is and as programs encode it. */
  readonly forms: readonly string[];
  /** Its lines, where it has several: logs are made of lines. */
  readonly lines: readonly string[];
}

/** Lines of a secret shorter than this say little of it, and stand in other texts as well. */
const shortestLine = 8;

/** The forms in which HTTP clients, JSON errors, headers and dumps like to quote a secret. */
export function secretForms(value: string): SecretForms {
  const percent = encodeURIComponent(value);
  const forms = new Set([
    value,
    percent,
    percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    new URLSearchParams({ "": value }).toString().slice(1),
    JSON.stringify(value).slice(1, -1),
    Buffer.from(value).toString("hex"),
    ...base64Forms(value),
  ]);
  const lines = value.split(/\r?\n/).map((line) => line.trim());
  return {
    forms: [...forms],
    lines: lines.length > 1 ? lines.filter((line) => line.length >= shortestLine) : [],
  };
}

/**
 * Pieces this long, in UTF-16 code units, of a text of so many are hidden by themselves: of a secret that was cut off
 * or broken over lines, less than half is left, and of a long one next to nothing.
 */
export function windowOf(length: number): number {
  return Math.min(length, Math.max(8, Math.min(16, Math.ceil(length / 2))));
}

/** What of a secret's base64 does not depend on the text around it, at each of the three places where it may begin. */
function base64Forms(value: string): readonly string[] {
  return [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(value)]);
    // Six bits a character: those that also hold bits of a neighbour are left out.
    const from = Math.ceil((before * 8) / 6);
    const to = Math.floor((bytes.length * 8) / 6);
    return [bytes.toString("base64").slice(from, to), bytes.toString("base64url").slice(from, to)];
  });
}
