/** Pictures of the synthetic world, ready to be encoded: who was taken, what it shows, how it was exposed. */
import { randomStream } from "../../random.ts";
import { expose } from "./canvas.ts";
import type { Exposure } from "./canvas.ts";
import { drawBodyPart } from "./body-parts.ts";
import { chestCaption } from "./captions.ts";
import { drawChest } from "./chest.ts";
import type { ChestStyle } from "./chest.ts";
import { randomFindings } from "./finding.ts";
import type { Finding } from "./finding.ts";
import type { Subject } from "./questions.ts";
import type { Random } from "../../random.ts";

/** 8-bit grey, [height, width]. */
export interface GreyPicture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** What all pictures of a world share. */
export interface World {
  readonly seed: number;
  /** Shorter side in pixels. */
  readonly imageSize: number;
  /** 0: findings are plain, pictures clean; 1: findings drown in noise. */
  readonly difficulty: number;
}

/** How much of a finding's full strength a picture shows. */
const contrastOf = ({ difficulty }: World): number => 1.8 - 1.6 * difficulty;

const upright: ChestStyle = { heart: 1, sloppiness: 1, lung: 0.2, tissue: 0.6 };
const portable: ChestStyle = { heart: 1.1, sloppiness: 1.8, lung: 0.27, tissue: 0.66 };

/** The hospital that the ChestX-ray14 pictures and the papers' figures come from. */
function exposureOf({ difficulty }: World, random: Random): Exposure {
  return {
    centre: 0.45 + 0.03 * random.normal(),
    contrast: 1.05 + 0.08 * random.normal(),
    grain: 0.01 + 0.05 * difficulty,
    clouds: 0.01 + 0.06 * difficulty,
  };
}

/** Another hospital: harder films, coarser grain. */
function otherExposureOf(world: World, random: Random): Exposure {
  const usual = exposureOf(world, random);
  return { ...usual, centre: usual.centre + 0.05, contrast: usual.contrast * 1.3, grain: usual.grain * 1.4 };
}

export interface PatientPicture {
  readonly findings: readonly Finding[];
  readonly devices: boolean;
  readonly picture: GreyPicture;
}

/**
 * A chest radiograph of a patient. Findings stay with the patient: those of follow-ups are a part of the patient's
 * own.
 *
 * @param hospital `id` as ChestX-ray14 is taken, `ood` as CheXpert is
 */
export function chestStudy(
  world: World,
  hospital: "id" | "ood",
  patient: string,
  visit: number,
): PatientPicture {
  const history = randomFindings(randomStream(world.seed, `patient/${hospital}`, patient));
  const random = randomStream(world.seed, `study/${hospital}`, `${patient}/${visit}`);
  const findings = visit === 0 ? history : history.filter(() => random.next() < 0.75);
  const devices = random.next() < (hospital === "id" ? 0.15 : 0.35);
  const size = world.imageSize;
  const shape =
    hospital === "id"
      ? [size, size]
      : random.next() < 0.5
        ? [Math.round(size * 1.22), size]
        : [size, Math.round(size * 1.22)];
  const [width, height] = shape as [number, number];
  const style = hospital === "id" ? upright : portable;
  const canvas = drawChest({ width, height, findings, contrast: contrastOf(world), style, devices }, random);
  const exposure = hospital === "id" ? exposureOf(world, random) : otherExposureOf(world, random);
  return { findings, devices, picture: { width, height, data: expose(canvas, exposure, random) } };
}

export interface Figure {
  readonly picture: GreyPicture;
  readonly caption: string;
  readonly concepts: readonly string[];
}

export interface AskedPicture {
  readonly subject: Subject;
  readonly picture: GreyPicture;
}

/** A picture that SLAKE's questions are about: mostly chest radiographs, some of other parts of the body. */
export function askedPicture(world: World, id: string): AskedPicture {
  const random = randomStream(world.seed, "asked", id);
  if (random.next() < chestShare) {
    const { findings, picture } = chestStudy(world, "id", `slake/${id}`, 0);
    return { subject: { part: "Chest", modality: "X-Ray", findings }, picture };
  }
  const size = { width: world.imageSize, height: world.imageSize };
  const { canvas, part, modality } = drawBodyPart(size, random);
  return {
    subject: { part, modality, findings: undefined },
    picture: { ...size, data: expose(canvas, exposureOf(world, random), random) },
  };
}

/** Share of chest radiographs among the figures of papers. */
const chestShare = 0.7;

/** A figure of a paper with its caption: mostly chest radiographs, some of other parts of the body. */
export function figure(world: World, collection: string, id: string): Figure {
  const random = randomStream(world.seed, `figure/${collection}`, id);
  const size = {
    width: world.imageSize,
    height: Math.round(world.imageSize * random.pick([1, 1, 1.15, 1.25])),
  };
  if (random.next() >= chestShare) {
    const { canvas, caption, concepts } = drawBodyPart(size, random);
    return {
      picture: { ...size, data: expose(canvas, exposureOf(world, random), random) },
      caption,
      concepts,
    };
  }
  const findings = randomFindings(random);
  const devices = random.next() < 0.15;
  const canvas = drawChest(
    { ...size, findings, contrast: contrastOf(world), style: upright, devices },
    random,
  );
  return {
    picture: { ...size, data: expose(canvas, exposureOf(world, random), random) },
    caption: chestCaption(findings, devices, random),
    concepts: ["C1306645", "C0817096"],
  };
}
