/** A text in which `*` stands for any characters and `?` for one, as a test. */
export function globTest(pattern: string): (text: string) => boolean {
  if (!isGlob(pattern)) return (text) => text === pattern;
  // Stars in a row mean one star, and would only make the expression slow.
  const source = pattern
    .replace(/\*+/g, "*")
    .replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  const expression = new RegExp(`^${source}$`, "s");
  return (text) => expression.test(text);
}

/** Whether a text has `*` or `?` in it, which names and labels cannot have. */
export function isGlob(text: string): boolean {
  return /[*?]/.test(text);
}
