import type { Random } from "../../random.ts";
import { chestxray14Labels } from "../label-names.ts";
import type { ChestXray14Label } from "../label-names.ts";

/** The patient's side: the patient's right is on the picture's left. */
export type Side = "left" | "right";

export const sides: readonly Side[] = ["right", "left"];

/** The picture's direction of a side, seen from its middle. */
export const direction: Readonly<Record<Side, 1 | -1>> = { right: -1, left: 1 };

export type Zone = "upper" | "mid" | "lower";

/** Something abnormal in a chest, as it is drawn and as a caption tells of it. */
export interface Finding {
  readonly label: ChestXray14Label;
  readonly side: Side;
  readonly zone: Zone;
  readonly severity: "mild" | "moderate" | "severe";
}

/** Share of healthy patients. */
const healthyShare = 0.25;
/** Chance of each finding in the others: high enough that a test set of 50 images holds every finding. */
const findingShare = 0.2;

/** Findings of one patient; none for a healthy one. */
export function randomFindings(random: Random): readonly Finding[] {
  if (random.next() < healthyShare) return [];
  const labels = chestxray14Labels.filter(() => random.next() < findingShare);
  if (labels.length === 0) labels.push(random.pick(chestxray14Labels));
  return labels.map((label) => randomFinding(label, random));
}

function randomFinding(label: ChestXray14Label, random: Random): Finding {
  return {
    label,
    side: random.pick(["left", "right"]),
    zone: random.pick(["upper", "mid", "lower"]),
    severity: random.pick(["mild", "moderate", "severe"]),
  };
}

/** Size or density of a finding relative to a moderate one. */
export function strengthOf({ severity }: Finding): number {
  return { mild: 0.55, moderate: 1, severe: 1.45 }[severity];
}
