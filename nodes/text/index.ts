export { createClipTokenizer, type ClipTokenizer } from "./clip-tokenizer.ts";
export { learnMerges } from "./learn-merges.ts";
export { learnWordPieces } from "./learn-word-pieces.ts";
export { createWordPieceTokenizer } from "./wordpiece.ts";
export { readWordPieceVocabulary, wordPieceFiles } from "./wordpiece-vocabulary.ts";
export { readMerges, vocabularyFiles, writeMerges } from "./merges.ts";
