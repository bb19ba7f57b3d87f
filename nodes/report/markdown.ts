/** Text that stands for itself within a line of Markdown, and is never HTML. */
export function escapeMarkdown(text: string): string {
  return (
    text
      .replace(/[\\|*~`<>[\]]/g, "\\$&")
      // Within a word an underscore is none of Markdown's marks.
      .replace(/(?<!\w)_|_(?!\w)/g, "\\_")
      .replaceAll("&", "&amp;")
      .replace(/\s+/g, " ")
  );
}
