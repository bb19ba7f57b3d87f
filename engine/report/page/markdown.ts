import MarkdownIt from "markdown-it";
import { inert } from "../format.ts";
import type { Html } from "./html.ts";

/** Tables, lists and emphasis. HTML stays text, and nothing leads or is loaded from elsewhere. */
const parser = new MarkdownIt("default", { html: false, linkify: false }).disable([
  "link",
  "image",
  "autolink",
  "reference",
]);
// Wide tables scroll by themselves, so that the page does not.
parser.renderer.rules["table_open"] = () => '<div class="wide"><table>\n';
parser.renderer.rules["table_close"] = () => "</table></div>\n";

/** Renders the Markdown of a report. */
export function markdownHtml(text: string): Html {
  return { html: parser.render(inert(text, { color: false })) };
}
