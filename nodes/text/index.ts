export { createClipTokenizer, type ClipTokenizer } from "./clip-tokenizer.ts";
export { learnMerges } from "./learn-merges.ts";
export { readMerges, vocabularyFiles, writeMerges } from "./merges.ts";
