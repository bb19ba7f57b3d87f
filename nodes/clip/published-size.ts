/** Weights, about, by what the names of published checkpoints have in common; the first that fits. */
const weights: readonly (readonly [name: RegExp, count: number])[] = [
  [/biomedclip/i, 195.9e6],
  [/pmc-?clip/i, 150e6],
  [/vit-?(large|l)(-?patch|-?)14/i, 427.6e6],
  [/vit-?(huge|h)(-?patch|-?)14/i, 986.1e6],
  [/vit-?(base|b)(-?patch|-?)16/i, 149.6e6],
  [/vit-?(base|b)(-?patch|-?)32/i, 151.3e6],
  [/rn50x4/i, 178.3e6],
  [/rn101/i, 119.7e6],
  [/rn50|resnet-?50/i, 102.0e6],
];

/** Bytes of the weights in a checkpoint, where its file's or folder's name says what it is. */
export function publishedSize(checkpoint: string | undefined): number | undefined {
  if (checkpoint === undefined) return undefined;
  const found = weights.find(([name]) => name.test(checkpoint.replaceAll("_", "-")));
  return found && 4 * found[1];
}
