/** The node library: every built-in node type, by name. Modules stay light; heavy imports happen inside `run`. */
import type { NodeLibrary, NodeType } from "../engine/sdk.ts";
import { analyzeSpectrum } from "./analyze-spectrum.ts";
import { attackCaptionLlm } from "./attack-caption-llm.ts";
import { attackImagePgd } from "./attack-image-pgd.ts";
import { clipEmbedImages } from "./clip-embed-images.ts";
import { clipEmbedQuestions } from "./clip-embed-questions.ts";
import { clipPretrain } from "./clip-pretrain.ts";
import { dataChestxray14 } from "./data-chestxray14.ts";
import { dataChexpert } from "./data-chexpert.ts";
import { dataLabels } from "./data-labels.ts";
import { dataMedicat } from "./data-medicat.ts";
import { dataPairs } from "./data-pairs.ts";
import { dataRocov2 } from "./data-rocov2.ts";
import { dataSlake } from "./data-slake.ts";
import { dataStatistics } from "./data-statistics.ts";
import { dataSynthetic } from "./data-synthetic.ts";
import { dataVqaRad } from "./data-vqa-rad.ts";
import { evaluateClassification } from "./evaluate-classification.ts";
import { evaluateClipScore } from "./evaluate-clip-score.ts";
import { evaluateVqa } from "./evaluate-vqa.ts";
import { evaluateZeroShot } from "./evaluate-zero-shot.ts";
import { exec } from "./exec.ts";
import { externalVlm } from "./external-vlm.ts";
import { headTrain } from "./head-train.ts";
import { modelClip } from "./model-clip.ts";
import { noiseMix } from "./noise-mix.ts";
import { noiseRandom } from "./noise-random.ts";
import { paperPrinted } from "./paper-printed.ts";
import { reportCaptionSheet } from "./report-caption-sheet.ts";
import { reportClaims } from "./report-claims.ts";
import { reportFigure } from "./report-figure.ts";
import { reportImageSheet } from "./report-image-sheet.ts";
import { reportTable } from "./report-table.ts";
import { textWrite } from "./text-write.ts";
import { vqaTrain } from "./vqa-train.ts";

const nodeTypes: readonly NodeType[] = [
  dataSynthetic,
  dataRocov2,
  dataMedicat,
  dataChestxray14,
  dataChexpert,
  dataSlake,
  dataVqaRad,
  dataPairs,
  dataLabels,
  dataStatistics,
  modelClip,
  attackImagePgd,
  attackCaptionLlm,
  noiseMix,
  noiseRandom,
  clipPretrain,
  clipEmbedImages,
  headTrain,
  evaluateClassification,
  clipEmbedQuestions,
  vqaTrain,
  evaluateVqa,
  analyzeSpectrum,
  paperPrinted,
  evaluateZeroShot,
  evaluateClipScore,
  externalVlm,
  reportTable,
  reportFigure,
  reportClaims,
  reportImageSheet,
  reportCaptionSheet,
  textWrite,
  exec,
];

/** All built-in node types, in the order of an experiment. */
export const library: NodeLibrary = new Map(nodeTypes.map((nodeType) => [nodeType.type, nodeType]));
