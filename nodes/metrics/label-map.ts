import { NodeError } from "../../engine/sdk.ts";

/** The label that says that no other one applies. */
export const noFinding = "No Finding";

/** CheXpert's five competition labels, whose mean AUC is reported as well. */
export const competitionLabels = [
  "Atelectasis",
  "Cardiomegaly",
  "Consolidation",
  "Edema",
  "Pleural Effusion",
] as const;

/** Which labels of a head are compared with which labels of a dataset. */
export type LabelMapKind = "auto" | "identity" | "shared" | "extended";

/** One compared label: a score made from the head's outputs against one column of the dataset's labels. */
export interface LabelMatch {
  /** Name in metrics: the head's. */
  readonly name: string;
  /** The largest of these outputs, or `none` = 1 - the largest of all. */
  readonly score: { readonly kind: "max"; readonly outputs: readonly number[] } | { readonly kind: "none" };
  /** Column of the dataset's labels. */
  readonly column: number;
}

/** Names that mean one finding, by their form in ChestX-ray14. */
const aliases: Readonly<Record<string, string>> = {
  infiltrate: "infiltration",
  "pleural effusion": "effusion",
  "enlarged cardiom": "enlarged cardiomediastinum",
};

/** Weak counterparts between ChestX-ray14 and CheXpert: the largest of several scores against one broader label. */
const weakMatches: readonly { readonly from: readonly string[]; readonly to: string }[] = [
  { from: ["Mass", "Nodule"], to: "Lung Lesion" },
  { from: ["Infiltration", "Consolidation", "Pneumonia", "Edema", "Atelectasis"], to: "Lung Opacity" },
  { from: ["Pleural_Thickening"], to: "Pleural Other" },
];

/**
 * Matches a head's labels with a dataset's. METHOD 10.1.
 *
 * `identity`: the same labels. `shared`: those that mean the same finding (7 between ChestX-ray14 and CheXpert).
 * `extended`: and the weak counterparts. `auto`: identity for equal label lists, else shared.
 *
 * @param options.noFinding also compare No Finding: the head's own output, or 1 - its largest probability
 * @throws NodeError where nothing matches, or identity is asked for and the lists differ
 */
export function matchLabels(
  head: readonly string[],
  dataset: readonly string[],
  options: { readonly kind: LabelMapKind; readonly noFinding: boolean },
): readonly LabelMatch[] {
  const equal = head.length === dataset.length && head.every((name, k) => name === dataset[k]);
  if (options.kind === "identity" && !equal) {
    throw new NodeError(
      `labelMap identity: the head has the labels ${head.join(", ")}, and the features ${dataset.join(", ")}`,
      { hint: "Use labelMap shared to compare the labels they have in common." },
    );
  }
  if (equal && (options.kind === "identity" || options.kind === "auto")) {
    return head.map((name, k) => ({ name, score: { kind: "max", outputs: [k] }, column: k }));
  }
  const matches = sharedLabels(head, dataset);
  if (options.kind === "extended") matches.push(...weakLabels(head, dataset));
  if (options.noFinding) matches.push(...noFindingLabel(head, dataset));
  if (matches.length > 0) return matches;
  throw new NodeError(
    `the head's labels (${head.join(", ")}) and those of the features (${dataset.join(", ")}) have nothing in common`,
    { hint: "Evaluate on a dataset that shares labels with the one the head was trained on." },
  );
}

/** The form in which two datasets' names of one finding are equal. */
export function canonicalLabel(name: string): string {
  const plain = name.toLowerCase().replaceAll("_", " ").replace(/\s+/g, " ").trim();
  return aliases[plain] ?? plain;
}

function sharedLabels(head: readonly string[], dataset: readonly string[]): LabelMatch[] {
  const columns = new Map(dataset.map((name, column) => [canonicalLabel(name), column]));
  return head.flatMap((name, output): LabelMatch[] => {
    const column = columns.get(canonicalLabel(name));
    if (column === undefined || canonicalLabel(name) === canonicalLabel(noFinding)) return [];
    return [{ name, score: { kind: "max", outputs: [output] }, column }];
  });
}

function weakLabels(head: readonly string[], dataset: readonly string[]): LabelMatch[] {
  return weakMatches.flatMap(({ from, to }): LabelMatch[] => {
    const column = dataset.indexOf(to);
    const outputs = from.map((name) => head.indexOf(name));
    if (column < 0 || head.includes(to) || outputs.includes(-1)) return [];
    return [{ name: to, score: { kind: "max", outputs }, column }];
  });
}

function noFindingLabel(head: readonly string[], dataset: readonly string[]): LabelMatch[] {
  const column = dataset.indexOf(noFinding);
  if (column < 0) return [];
  const output = head.indexOf(noFinding);
  return [
    {
      name: noFinding,
      score: output < 0 ? { kind: "none" } : { kind: "max", outputs: [output] },
      column,
    },
  ];
}
