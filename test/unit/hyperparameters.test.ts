/** What the paper says of its settings, value by value, in every step that `--profile paper` has. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadGrid } from "../../engine/load/index.ts";
import type { Grid, Step } from "../../engine/model/grid.ts";
import type { Features } from "../../nodes/features.ts";
import { headParams } from "../../nodes/heads/params.ts";
import { trainingOptions } from "../../nodes/heads/training-set.ts";
import { library } from "../../nodes/index.ts";

const folder = join(import.meta.dirname, "../../pipelines");
const file = resolve(import.meta.dirname, "../../../shared/reference/hyperparameters.json");

/** The part of the transcription that settings are held against. */
interface Hyperparameters {
  readonly ran: { readonly alpha: number; readonly beta: number };
  readonly noise_ratios: readonly number[];
  readonly image_attack: {
    readonly default: {
      readonly norm: string;
      readonly eps: string;
      readonly alpha: string;
      readonly steps: number;
      readonly random_start: boolean;
    };
  };
  readonly caption_attack: { readonly promptattack: { readonly temperature: number } };
  readonly clip_pretrain: {
    readonly image_size: number;
    readonly beta1: number;
    readonly beta2: number;
    readonly eps: number;
    readonly lr: number;
    readonly batch_size: number;
    readonly warmup_steps: number;
    readonly epochs: number;
  };
  readonly nmtune: {
    readonly paper_lambda: number;
    readonly code: {
      readonly lr: number;
      readonly wd: number;
      readonly epochs: number;
      readonly batch: number;
      readonly hidden_ratio: number;
      readonly residual: boolean;
    };
    readonly lp: {
      readonly lr: number;
      readonly wd: number;
      readonly epochs: number;
      readonly batch: number;
    };
  };
  readonly meter: {
    readonly layers: number;
    readonly hidden: number;
    readonly heads: number;
    readonly dropout: number;
    readonly wd: number;
    readonly warmup_frac: number;
  };
}

/** What settings of a head are worked out for. */
const samples: Features = {
  header: { dataset: "chestxray14", split: "train", labels: ["Mass"], ids: ["a", "b"], feature: "projected" },
  count: 2,
  dim: 4,
  features: new Float32Array(8),
  labels: Int32Array.of(0, 1),
};

const ratio = (text: string): number => {
  const [over, under] = text.split("/").map(Number) as [number, number];
  return over / under;
};

describe.skipIf(!existsSync(file))("--profile paper (skipped without the transcribed settings)", () => {
  let paper: Hyperparameters;
  const grids = new Map<string, Grid>();

  beforeAll(async () => {
    paper = JSON.parse(readFileSync(file, "utf8")) as Hyperparameters;
    const names = readdirSync(folder).filter((name) => /^(paper|table-\d+|figure-\d+)\.yaml$/.test(name));
    for (const name of names) {
      const path = join(folder, name);
      const loaded = await loadGrid({ path, cwd: folder, library, sets: [], profiles: ["paper"] });
      if (!loaded.ok) throw new Error(loaded.error.map(({ message }) => message).join("\n"));
      grids.set(basename(name, ".yaml"), loaded.value.grid);
    }
  });

  const stepsOf = (type: string): readonly Step[] =>
    [...grids.values()].flatMap(({ steps }) => steps.filter(({ nodeType }) => nodeType.type === type));
  const expectAll = (type: string, settings: object, where: (step: Step) => boolean = () => true): void => {
    const steps = stepsOf(type).filter(where);
    expect(steps.length, `steps of ${type}`).toBeGreaterThan(0);
    for (const { id, params } of steps) expect(params, id).toMatchObject(settings);
  };
  const methodIs =
    (...methods: readonly string[]) =>
    ({ params }: Step): boolean =>
      methods.includes(String(params["method"]));

  it("pre-trains as printed, with the defaults of open_clip where nothing is", () => {
    const { batch_size, beta1, beta2, epochs, eps, image_size, lr, warmup_steps } = paper.clip_pretrain;
    expectAll("clip.pretrain", {
      batchSize: batch_size,
      beta1,
      beta2,
      epochs,
      eps,
      learningRate: lr,
      warmup: warmup_steps,
      optimizer: "adamw",
    });
    // AdamW's default is open_clip's weight decay.
    for (const { params } of stepsOf("clip.pretrain")) expect(params["weightDecay"]).toBeUndefined();
    const start = /DataComp\.XL-s13B-b90K/;
    expectAll("model.clip", { imageSize: image_size }, ({ params }) =>
      start.test(String(params["checkpoint"])),
    );
  });

  it("attacks as AttackVLM does, with a published CLIP", () => {
    const { alpha, eps, norm, random_start, steps } = paper.image_attack.default;
    const settings = { norm, eps: ratio(eps), alpha: ratio(alpha), randomStart: random_start };
    // Clean images go through an attack of no step, so that all else is the same.
    expectAll("attack.image-pgd", settings, ({ params }) => params["steps"] !== 0);
    expectAll("attack.image-pgd", { steps }, ({ params }) => params["steps"] !== 0);
    const { temperature } = paper.caption_attack.promptattack;
    expectAll("attack.caption-llm", {
      backend: "openai",
      temperature,
      model: expect.stringContaining("Llama-3-8B"),
    });
  });

  it("has the paper's ratios of noise", () => {
    expect(grids.get("table-10")?.axes["gamma"]).toEqual(paper.noise_ratios.map(String));
  });

  it("tunes as RAN is printed and NMTune's code does", () => {
    const { code, lp, paper_lambda: lambda } = paper.nmtune;
    const { alpha, beta } = paper.ran;
    for (const type of ["head.train", "vqa.train"].filter((one) => stepsOf(one).length > 0))
      expectAll(type, { alpha, beta }, methodIs("ran"));
    const mlp = {
      epochs: code.epochs,
      batchSize: code.batch,
      weightDecay: code.wd,
      ratio: code.hidden_ratio,
      residual: code.residual,
    };
    expectAll("head.train", mlp, methodIs("mlp", "ran", "nmtune"));
    expectAll("head.train", { variant: "paper", lambda }, methodIs("nmtune"));
    expectAll(
      "head.train",
      { epochs: lp.epochs, batchSize: lp.batch, weightDecay: lp.wd },
      methodIs("probe"),
    );
    for (const { id, params } of stepsOf("head.train")) {
      const { learningRate } = trainingOptions(headParams.parse(params), samples);
      expect(learningRate, id).toBe(params["method"] === "probe" ? lp.lr : code.lr);
    }
  });

  it("answers questions by a fusion of METER's size", ({ skip }) => {
    if (stepsOf("vqa.train").length === 0) skip("no pipeline of the paper asks questions yet");
    const { dropout, heads, hidden, layers, warmup_frac, wd } = paper.meter;
    expectAll("vqa.train", { layers, width: hidden, heads, dropout, weightDecay: wd, warmup: warmup_frac });
  });

  it("reads no synthetic data, and no stand-in for an encoder", () => {
    expect(stepsOf("data.synthetic")).toEqual([]);
    for (const { id, params } of stepsOf("model.clip")) expect(params["checkpoint"], id).toBeDefined();
    expect(stepsOf("clip.pretrain").length).toBeGreaterThan(0);
  });
});
