/**
 * What a plugin imports as `ranflow/sdk`: all that a node type is made of, the zod that checks its parameters, and what
 * the node types here use for records, random numbers and items. None of it is in a plugin's key: it keeps its meaning.
 */
export * from "../engine/sdk.ts";
export type {
  ImageLabels,
  ImageQuestion,
  ImagesHeader,
  ImageText,
  MetricsRecord,
  QuestionsHeader,
} from "./formats.ts";
export { reportItems, workThrough } from "./items.ts";
export type { ItemResults, ItemWork } from "./items.ts";
export { randomFromState, randomStream } from "./random.ts";
export type { Random } from "./random.ts";
export {
  readImages,
  readMetrics,
  readPairs,
  readQuestions,
  readTable,
  writeImages,
  writeMetrics,
  writePairs,
  writeQuestions,
  writeTable,
} from "./records.ts";
export type { TableRow } from "./records.ts";
export { z } from "zod";
