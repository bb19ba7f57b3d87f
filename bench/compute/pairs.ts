/** One piece of work that both sides do. */
export interface Pair {
  readonly name: string;
  readonly title: string;
  /** Threads that each side may use. */
  readonly threads: number;
  readonly work: Work;
  /** Times the work is done in one measurement. */
  readonly repeats: number;
  /** torch time / our time: what has to be reached, and what is hoped for. */
  readonly floor?: number;
  readonly stretch?: number;
  /** Our peak memory / torch's: at most. */
  readonly memory?: number;
}

/** What is computed; `torch_side.py` knows the same kinds. */
export type Work = ClipWork | HeadWork;

export interface ClipWork {
  readonly kind: "train" | "pgd" | "forward";
  readonly arch: Arch;
  readonly batch: number;
}

export interface HeadWork {
  readonly kind: "head";
  readonly method: "probe" | "ran";
  readonly rows: number;
  readonly dim: number;
}

export type Arch = "ViT-B-32" | "ViT-L-14";

const vitB32 = "ViT-B-32";
const vitL14 = "ViT-L-14";

export const pairs: readonly Pair[] = [
  {
    name: "train-b16",
    title: "CLIP train step, ViT-B/32, B=16",
    threads: 2,
    work: { kind: "train", arch: vitB32, batch: 16 },
    repeats: 1,
    floor: 0.8,
    stretch: 1,
    memory: 1.3,
  },
  {
    name: "train-b64",
    title: "CLIP train step, ViT-B/32, B=64",
    threads: 2,
    work: { kind: "train", arch: vitB32, batch: 64 },
    repeats: 1,
    floor: 0.7,
    stretch: 1,
    memory: 1.3,
  },
  {
    name: "pgd-b16",
    title: "PGD step, ViT-B/32, B=16",
    threads: 2,
    work: { kind: "pgd", arch: vitB32, batch: 16 },
    repeats: 1,
    floor: 0.8,
    stretch: 1,
  },
  {
    name: "pgd-b16-1",
    title: "PGD step, ViT-B/32, B=16, one thread each",
    threads: 1,
    work: { kind: "pgd", arch: vitB32, batch: 16 },
    repeats: 1,
    floor: 0.95,
    stretch: 1,
  },
  {
    name: "probe",
    title: "linear probe, 64 steps of 64 x 768",
    threads: 2,
    work: { kind: "head", method: "probe", rows: 4096, dim: 768 },
    repeats: 8,
    floor: 1.3,
    stretch: 1.5,
  },
  {
    name: "mlp-losses",
    title: "MLP with losses, 16 steps of 64 x 768",
    threads: 2,
    work: { kind: "head", method: "ran", rows: 1024, dim: 768 },
    repeats: 1,
    floor: 1,
    stretch: 1.5,
  },
  {
    name: "features-b32",
    title: "feature extraction, ViT-B/32, B=32",
    threads: 2,
    work: { kind: "forward", arch: vitB32, batch: 32 },
    repeats: 2,
  },
  {
    name: "vitl14-forward",
    title: "ViT-L/14 forward, B=1",
    threads: 2,
    work: { kind: "forward", arch: vitL14, batch: 1 },
    repeats: 2,
    floor: 0.6,
    stretch: 0.9,
  },
  {
    name: "vitl14-pgd",
    title: "ViT-L/14 PGD step, B=1",
    threads: 2,
    work: { kind: "pgd", arch: vitL14, batch: 1 },
    repeats: 1,
    floor: 0.6,
    stretch: 0.9,
  },
];

/**
 * Tokens of captions between start and end: every second of 40 real ROCOv2 captions under CLIP's tokeniser, the
 * longest cut to the context. Row i of a batch has the length i modulo their number, in an order that mixes them.
 */
export const captionLengths: readonly number[] = [
  26, 13, 66, 22, 75, 19, 33, 8, 45, 27, 75, 23, 30, 62, 25, 43, 75, 27, 46, 24,
];
