/** The 14 findings of ChestX-ray14, in the order of Wang et al. (CVPR 2017). */
export const chestxray14Labels = [
  "Atelectasis",
  "Cardiomegaly",
  "Effusion",
  "Infiltration",
  "Mass",
  "Nodule",
  "Pneumonia",
  "Pneumothorax",
  "Consolidation",
  "Edema",
  "Emphysema",
  "Fibrosis",
  "Pleural_Thickening",
  "Hernia",
] as const;

export type ChestXray14Label = (typeof chestxray14Labels)[number];

/** The 14 observations of CheXpert, in the order of its tables. */
export const chexpertLabels = [
  "No Finding",
  "Enlarged Cardiomediastinum",
  "Cardiomegaly",
  "Lung Opacity",
  "Lung Lesion",
  "Edema",
  "Consolidation",
  "Pneumonia",
  "Atelectasis",
  "Pneumothorax",
  "Pleural Effusion",
  "Pleural Other",
  "Fracture",
  "Support Devices",
] as const;

export type ChexpertLabel = (typeof chexpertLabels)[number];

/** What a chest radiograph without any of the findings is labelled. */
export const noFinding = "No Finding";
