/** The node library: every built-in node type, by name. Modules stay light; heavy imports happen inside `run`. */
import type { NodeLibrary, NodeType } from "../engine/sdk.ts";

/** In the order of an experiment. */
const modules: Readonly<Record<string, () => Promise<NodeType>>> = {
  "data.synthetic": async () => (await import("./data-synthetic.ts")).dataSynthetic,
  "data.rocov2": async () => (await import("./data-rocov2.ts")).dataRocov2,
  "data.medicat": async () => (await import("./data-medicat.ts")).dataMedicat,
  "data.chestxray14": async () => (await import("./data-chestxray14.ts")).dataChestxray14,
  "data.chexpert": async () => (await import("./data-chexpert.ts")).dataChexpert,
  "data.slake": async () => (await import("./data-slake.ts")).dataSlake,
  "data.vqa-rad": async () => (await import("./data-vqa-rad.ts")).dataVqaRad,
  "data.pairs": async () => (await import("./data-pairs.ts")).dataPairs,
  "data.labels": async () => (await import("./data-labels.ts")).dataLabels,
  "data.tokens": async () => (await import("./data-tokens.ts")).dataTokens,
  "data.statistics": async () => (await import("./data-statistics.ts")).dataStatistics,
  "model.clip": async () => (await import("./model-clip.ts")).modelClip,
  "attack.image-pgd": async () => (await import("./attack-image-pgd.ts")).attackImagePgd,
  "attack.caption-llm": async () => (await import("./attack-caption-llm.ts")).attackCaptionLlm,
  "noise.mix": async () => (await import("./noise-mix.ts")).noiseMix,
  "noise.random": async () => (await import("./noise-random.ts")).noiseRandom,
  "clip.pretrain": async () => (await import("./clip-pretrain.ts")).clipPretrain,
  "clip.pretrain-openclip": async () => (await import("./clip-pretrain-openclip.ts")).clipPretrainOpenClip,
  "clip.embed-images": async () => (await import("./clip-embed-images.ts")).clipEmbedImages,
  "head.train": async () => (await import("./head-train.ts")).headTrain,
  "evaluate.classification": async () =>
    (await import("./evaluate-classification.ts")).evaluateClassification,
  "clip.embed-questions": async () => (await import("./clip-embed-questions.ts")).clipEmbedQuestions,
  "vqa.train": async () => (await import("./vqa-train.ts")).vqaTrain,
  "evaluate.vqa": async () => (await import("./evaluate-vqa.ts")).evaluateVqa,
  "analyze.spectrum": async () => (await import("./analyze-spectrum.ts")).analyzeSpectrum,
  "paper.printed": async () => (await import("./paper-printed.ts")).paperPrinted,
  "evaluate.zero-shot": async () => (await import("./evaluate-zero-shot.ts")).evaluateZeroShot,
  "evaluate.clip-score": async () => (await import("./evaluate-clip-score.ts")).evaluateClipScore,
  "external.vlm": async () => (await import("./external-vlm.ts")).externalVlm,
  "report.table": async () => (await import("./report-table.ts")).reportTable,
  "report.figure": async () => (await import("./report-figure.ts")).reportFigure,
  "report.claims": async () => (await import("./report-claims.ts")).reportClaims,
  "report.image-sheet": async () => (await import("./report-image-sheet.ts")).reportImageSheet,
  "report.label-sheet": async () => (await import("./report-label-sheet.ts")).reportLabelSheet,
  "report.caption-sheet": async () => (await import("./report-caption-sheet.ts")).reportCaptionSheet,
  "report.question-sheet": async () => (await import("./report-question-sheet.ts")).reportQuestionSheet,
  "report.answer-sheet": async () => (await import("./report-answer-sheet.ts")).reportAnswerSheet,
  "text.write": async () => (await import("./text-write.ts")).textWrite,
  exec: async () => (await import("./exec.ts")).exec,
};

/** All built-in node types. */
export const library: NodeLibrary = {
  names: Object.keys(modules),
  get: async (name) => (Object.hasOwn(modules, name) ? modules[name]?.() : undefined),
};
