import { inert } from "../format.ts";

/** A piece of HTML whose text is escaped already. */
export interface Html {
  readonly html: string;
}

type Part = string | number | Html | readonly (string | Html)[] | undefined;

/**
 * HTML from a template: what is interpolated is text, and is escaped, unless it is HTML itself; lists are joined. Control
 * characters are written out, so that nothing acts on the terminal of who prints the page.
 */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: strings.map((string, i) => string + (i < parts.length ? partText(parts[i]) : "")).join("") };
}

/** Pieces of HTML on lines of their own. */
export function lines(parts: readonly Html[]): Html {
  return { html: parts.map((part) => part.html).join("\n") };
}

/** A table; the columns named in `numbers` are set to the right. */
export function tableOf(
  columns: readonly string[],
  rows: readonly (readonly Part[])[],
  numbers: readonly number[] = [],
): Html {
  const cell = (tag: "td" | "th", content: Part, i: number): Html => ({
    html: `<${tag}${numbers.includes(i) ? ' class="number"' : ""}>${partText(content)}</${tag}>`,
  });
  const row = (tag: "td" | "th", cells: readonly Part[]): Html =>
    html`<tr>
      ${cells.map((content, i) => cell(tag, content, i))}
    </tr>`;
  return html`<div class="wide">
    <table>
      <thead>
        ${row("th", columns)}
      </thead>
      <tbody>
        ${lines(rows.map((cells) => row("td", cells)))}
      </tbody>
    </table>
  </div>`;
}

function partText(part: Part): string {
  if (part === undefined) return "";
  if (typeof part === "string" || typeof part === "number") return escapeHtml(String(part));
  if (Array.isArray(part)) return part.map((item: string | Html) => partText(item)).join("");
  return (part as Html).html;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return inert(text, { color: false }).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
