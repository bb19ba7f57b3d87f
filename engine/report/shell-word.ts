/** A text as one word of a shell: the brackets of a step's id would be a pattern. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./=:,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
