import type { Random } from "../../random.ts";
import type { Finding } from "./finding.ts";

type Phrase = (finding: Finding) => string;

/** How radiologists put each finding. Sides, degrees and places are what caption attacks turn around. */
const phrases: Readonly<Record<Finding["label"], readonly Phrase[]>> = {
  Atelectasis: [
    ({ side }) => `plate-like atelectasis at the ${side} lung base`,
    ({ side, severity }) => `${severity} ${side} basal atelectasis with an elevated hemidiaphragm`,
    ({ side }) => `volume loss and linear atelectasis in the ${side} lower lobe`,
  ],
  Cardiomegaly: [
    ({ severity }) => `${severity} cardiomegaly`,
    ({ severity }) => `a ${severity === "mild" ? "mildly" : "markedly"} enlarged cardiac silhouette`,
    () => "an increased cardiothoracic ratio",
  ],
  Effusion: [
    ({ side, severity }) => `a ${severity} ${side} pleural effusion`,
    ({ side }) => `blunting of the ${side} costophrenic angle by pleural fluid`,
    ({ side, severity }) => `${severity === "mild" ? "small" : "large"} ${side}-sided pleural effusion`,
  ],
  Infiltration: [
    ({ side }) => `patchy infiltrates in the ${side} lung`,
    ({ side, severity }) => `${severity} ill-defined infiltration of the ${side} lung`,
  ],
  Mass: [
    ({ side, zone }) => `a large mass in the ${side} ${zone} lung zone`,
    ({ side, zone }) => `a well-defined ${side} ${zone} zone mass`,
  ],
  Nodule: [
    ({ side, zone }) => `a small nodule in the ${side} ${zone} lung zone`,
    ({ side }) => `a solitary pulmonary nodule in the ${side} lung`,
  ],
  Pneumonia: [
    ({ side }) => `${side} lower lobe pneumonia`,
    ({ side, severity }) => `${severity} airspace opacity in the ${side} lower zone suggestive of pneumonia`,
  ],
  Pneumothorax: [
    ({ side, severity }) => `a ${severity === "mild" ? "small" : "large"} ${side} pneumothorax`,
    ({ side }) => `${side} pneumothorax with a visible pleural line (arrow)`,
  ],
  Consolidation: [
    ({ side, zone }) => `dense consolidation of the ${side} ${zone} zone`,
    ({ side, zone }) => `homogeneous ${side} ${zone} zone consolidation`,
  ],
  Edema: [
    ({ severity }) => `${severity} bilateral perihilar pulmonary edema`,
    () => "bat-wing opacities consistent with pulmonary edema",
  ],
  Emphysema: [
    ({ severity }) => `${severity} emphysema with hyperinflated lungs and flattened diaphragms`,
    () => "hyperlucent, overinflated lungs in keeping with emphysema",
  ],
  Fibrosis: [
    ({ side }) => `reticular opacities at the ${side} base in keeping with fibrosis`,
    ({ side, severity }) => `${severity} fibrosis of the ${side} lower lung`,
  ],
  Pleural_Thickening: [
    ({ side }) => `${side} pleural thickening along the lateral chest wall`,
    ({ side, zone, severity }) => `${severity} pleural thickening in the ${side} ${zone} zone`,
  ],
  Hernia: [
    () => "a hiatal hernia with retrocardiac air",
    ({ severity }) => `a ${severity === "mild" ? "small" : "large"} hiatal hernia behind the heart`,
  ],
};

const openings: readonly string[] = [
  "Chest X-ray showing",
  "Chest radiograph demonstrating",
  "Posteroanterior chest X-ray reveals",
  "Frontal radiograph of the chest with",
  "Initial chest X-ray on admission showing",
  "Follow-up chest radiograph shows",
  "Portable anteroposterior chest X-ray demonstrating",
];

const normal: readonly string[] = [
  "Normal chest X-ray.",
  "Chest radiograph with clear lungs and a normal cardiac silhouette.",
  "Posteroanterior chest X-ray without acute cardiopulmonary abnormality.",
  "Frontal chest radiograph showing no consolidation, effusion or pneumothorax.",
  "Follow-up chest X-ray after treatment: the lungs are clear on both sides.",
];

const closings: readonly string[] = [
  "",
  "",
  "",
  " No other abnormality is seen.",
  " (white arrow)",
  " in a patient with dyspnea",
  " in a patient with cough and fever",
];

/** A caption, as a paper might print it, of a chest radiograph with these findings. */
export function chestCaption(findings: readonly Finding[], devices: boolean, random: Random): string {
  if (findings.length === 0) {
    return random.pick(normal) + (devices ? " A central venous catheter is in place." : "");
  }
  const told = random.shuffle(findings).map((finding) => random.pick(phrases[finding.label])(finding));
  const closing = random.pick(closings);
  const sentence = `${random.pick(openings)} ${listed(told)}`;
  const ended = closing.startsWith(" No") ? `${sentence}.${closing}` : `${sentence}${closing}.`;
  return devices ? `${ended} A central venous catheter is in place.` : ended;
}

function listed(items: readonly string[]): string {
  if (items.length <= 1) return items[0] ?? "";
  return `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}
