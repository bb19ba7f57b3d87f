/**
 * Text that a step fills in: `$(name)` is a value that only the step knows, `$$(` a literal `$(`. What a pipeline
 * interpolates has been put in before, with every `$(` of its own written as `$$(`.
 */

/** The names that text leaves for the step, by their first part. */
export const stepNames = ["in", "out", "scratch", "seed"] as const;

const pattern = /\$\$\(|\$\(([^)]*)\)/g;

/** Puts values in place of the names in a template. */
export function fillTemplate(text: string, valueOf: (name: string) => string): string {
  return text.replace(pattern, (_, name: string | undefined) =>
    name === undefined ? "$(" : valueOf(name.trim()),
  );
}

/** The names in a template, in order, such as `in.pairs` and `seed`. */
export function namesInTemplate(text: string): readonly string[] {
  return [...text.matchAll(pattern)].flatMap(([, name]) => (name === undefined ? [] : [name.trim()]));
}

/** A template that stands for exactly this text. */
export function escapeTemplate(text: string): string {
  return text.replaceAll("$(", "$$$$(");
}
