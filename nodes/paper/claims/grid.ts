/** The paper's grid: what its claims are about. Records of other ratios and datasets take no part. */
export const noises = ["image", "caption"] as const;
/** Percent of noisy pairs, those above zero. */
export const ratios = [5, 10, 20, 30] as const;
/** In-domain datasets, each with the one that heads trained on it are measured on out of domain. */
export const domains = [
  { id: "chestxray14", ood: "chexpert" },
  { id: "slake", ood: "vqa-rad" },
] as const;
export const idDatasets: readonly string[] = domains.map(({ id }) => id);
export const oodDatasets: readonly string[] = domains.map(({ ood }) => ood);
export const datasets: readonly string[] = domains.flatMap(({ id, ood }) => [id, ood]);
