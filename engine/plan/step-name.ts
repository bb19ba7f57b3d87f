/** The parts of a step's id, as they can be read without the pipeline. */

/** `finetune` of `finetune[head=ran]`: the node, with its namespace. */
export function nodeOf(step: string): string {
  return step.replace(/[[#].*$/s, "");
}

/** `[head=ran]` of `finetune[head=ran]`; empty for a step without axes. */
export function pointText(step: string): string {
  return step.slice(nodeOf(step).length);
}

/** Axis -> label of a step; labels that stand for a part of an axis, as in `table[gamma=0,20]`, stay together. */
export function pointOf(step: string): Readonly<Record<string, string>> {
  const point: Record<string, string> = {};
  const inside = /\[(.*)\]/s.exec(step)?.[1];
  let last: string | undefined;
  for (const part of inside?.split(",") ?? []) {
    const equals = part.indexOf("=");
    if (equals > 0) point[(last = part.slice(0, equals))] = part.slice(equals + 1);
    else if (last !== undefined) point[last] += `,${part}`;
  }
  return point;
}
