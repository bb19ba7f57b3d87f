import type { Random } from "../../random.ts";
import { add, any, both, createCanvas, ellipse, fill, stroke, without } from "./canvas.ts";
import type { Canvas } from "./canvas.ts";

/** A picture of a part of the body with what a paper would print below it. */
export interface Plate {
  readonly canvas: Canvas;
  readonly caption: string;
  readonly part: "Abdomen" | "Head" | "Knee";
  readonly modality: "X-Ray" | "CT";
  /** UMLS concepts of modality and body region. */
  readonly concepts: readonly string[];
}

export interface PlateSize {
  readonly width: number;
  readonly height: number;
}

const xRay = "C1306645";
const ct = "C0040405";

/** Draws a part of the body other than the chest, so that captions name several. */
export function drawBodyPart(size: PlateSize, random: Random): Plate {
  return random.pick([drawAbdomen, drawHead, drawKnee, drawAbdominalCt])(size, random);
}

function drawAbdomen({ width, height }: PlateSize, random: Random): Plate {
  const canvas = createCanvas(width, height, 0.05);
  fill(canvas, ellipse(0.5, 0.5, 0.44, 0.7, { soft: 0.05 }), 0.5);
  fill(canvas, ellipse(0.5, 0.5, 0.05, 0.8, { soft: 0.2 }), 0.75);
  const bones = any(
    [-1, 1].map((out) => ellipse(0.5 + out * 0.25, 0.84, 0.17, 0.16, { angle: out * 35, soft: 0.1 })),
  );
  fill(canvas, bones, 0.68);
  fill(canvas, ellipse(0.5, 0.9, 0.13, 0.1, { soft: 0.2 }), 0.5);
  const side = random.pick(["left", "right"] as const);
  const obstructed = random.next() < 0.5;
  for (let loop = 0; loop < (obstructed ? 9 : 4); loop++) {
    const gas = ellipse(
      0.25 + 0.5 * random.next(),
      0.25 + 0.4 * random.next(),
      obstructed ? 0.09 : 0.05,
      0.04,
      {
        angle: 60 * random.normal(),
        soft: 0.3,
      },
    );
    add(canvas, gas, -0.22);
  }
  const stone = random.next() < 0.5;
  if (stone) fill(canvas, ellipse(side === "left" ? 0.68 : 0.32, 0.4, 0.03, 0.04, { soft: 0.3 }), 0.92);
  const told = [
    obstructed ? "dilated loops of small bowel suggestive of obstruction" : "a normal bowel gas pattern",
    ...(stone ? [`a radiopaque stone in the ${side} kidney`] : []),
  ];
  const opening = random.pick(["Plain abdominal X-ray showing", "Supine radiograph of the abdomen with"]);
  return {
    canvas,
    caption: `${opening} ${told.join(" and ")}.`,
    part: "Abdomen",
    modality: "X-Ray",
    concepts: [xRay, "C0000726"],
  };
}

function drawHead({ width, height }: PlateSize, random: Random): Plate {
  const canvas = createCanvas(width, height, 0.02);
  const tilt = 4 * random.normal();
  const skull = ellipse(0.5, 0.5, 0.36, 0.43, { angle: tilt, soft: 0.04 });
  const brain = ellipse(0.5, 0.5, 0.32, 0.39, { angle: tilt, soft: 0.04 });
  fill(canvas, skull, 0.95);
  fill(canvas, brain, 0.45 + 0.02 * random.normal());
  const dilated = random.next() < 0.35;
  for (const out of [-1, 1]) {
    const horn = ellipse(0.5 + out * 0.06, 0.46, dilated ? 0.055 : 0.025, dilated ? 0.14 : 0.1, {
      angle: out * -14,
      soft: 0.2,
    });
    add(canvas, horn, -0.2);
  }
  const side = random.pick(["left", "right"] as const);
  const x = side === "left" ? 0.66 : 0.34;
  const told: string[] = dilated ? ["dilated lateral ventricles"] : [];
  const lesion = random.pick(["hemorrhage", "infarct", "none"] as const);
  if (lesion === "hemorrhage") {
    add(canvas, ellipse(x, 0.45, 0.08, 0.1, { soft: 0.25 }), 0.32);
    told.push(`an acute ${side} parietal hemorrhage`);
  } else if (lesion === "infarct") {
    add(canvas, both(ellipse(x, 0.5, 0.12, 0.16, { soft: 0.3 }), brain), -0.16);
    told.push(
      `a hypodense area in the ${side} middle cerebral artery territory consistent with chronic infarct`,
    );
  }
  if (told.length === 0) told.push("no intracranial abnormality");
  const opening = random.pick(["Axial CT of the head showing", "Non-contrast brain CT scan demonstrating"]);
  return {
    canvas,
    caption: `${opening} ${told.join(" and ")}.`,
    part: "Head",
    modality: "CT",
    concepts: [ct, "C0037303"],
  };
}

function drawKnee({ width, height }: PlateSize, random: Random): Plate {
  const canvas = createCanvas(width, height, 0.04);
  const x = 0.5 + 0.02 * random.normal();
  fill(canvas, ellipse(x, 0.5, 0.3, 0.8, { soft: 0.1 }), 0.32);
  const narrow = random.next() < 0.5;
  const gap = narrow ? 0.01 : 0.035;
  const femur = any([
    ellipse(x, 0.05, 0.11, 0.4, { soft: 0.08 }),
    ellipse(x, 0.5 - gap - 0.1, 0.21, 0.11, { soft: 0.08 }),
  ]);
  const tibia = any([
    ellipse(x, 0.97, 0.1, 0.4, { soft: 0.08 }),
    ellipse(x, 0.5 + gap + 0.09, 0.2, 0.09, { soft: 0.08 }),
  ]);
  fill(canvas, any([femur, tibia]), 0.78);
  fill(canvas, ellipse(x + 0.2, 0.85, 0.035, 0.3, { soft: 0.2 }), 0.65);
  const side = random.pick(["left", "right"] as const);
  const told = [
    narrow ? "severe medial joint space narrowing due to osteoarthritis" : "a preserved joint space",
  ];
  if (random.next() < 0.4) {
    add(
      canvas,
      stroke(
        [
          [x - 0.14, 0.68],
          [x, 0.72],
          [x + 0.13, 0.66],
        ],
        0.014,
      ),
      -0.4,
    );
    told.push("a displaced fracture of the proximal tibia");
  }
  const opening = random.pick([
    `Anteroposterior X-ray of the ${side} knee showing`,
    `Radiograph of the ${side} knee with`,
  ]);
  return {
    canvas,
    caption: `${opening} ${told.join(" and ")}.`,
    part: "Knee",
    modality: "X-Ray",
    concepts: [xRay, "C0022742"],
  };
}

function drawAbdominalCt({ width, height }: PlateSize, random: Random): Plate {
  const canvas = createCanvas(width, height, 0);
  const body = ellipse(0.5, 0.52, 0.45, 0.34, { soft: 0.03 });
  const muscle = ellipse(0.5, 0.52, 0.4, 0.29, { soft: 0.04 });
  fill(canvas, body, 0.28);
  fill(canvas, muscle, 0.42);
  // The patient's right, and so the liver, is on the picture's left.
  const liver = ellipse(0.32, 0.44, 0.19, 0.17, { angle: -20, soft: 0.08 });
  fill(canvas, both(liver, muscle), 0.6);
  fill(canvas, both(ellipse(0.7, 0.42, 0.08, 0.12, { angle: 20, soft: 0.1 }), muscle), 0.62);
  fill(canvas, ellipse(0.5, 0.7, 0.06, 0.05, { soft: 0.15 }), 0.92);
  fill(canvas, ellipse(0.53, 0.6, 0.03, 0.03, { soft: 0.2 }), 0.75);
  for (const x of [0.34, 0.67])
    fill(canvas, without(ellipse(x, 0.66, 0.055, 0.07, { soft: 0.15 }), ellipse(x, 0.66, 0.02, 0.03)), 0.7);
  const side = random.pick(["left", "right"] as const);
  const told: string[] = [];
  if (random.next() < 0.5) {
    const bright = random.next() < 0.5;
    fill(
      canvas,
      ellipse(0.28 + 0.06 * random.next(), 0.4 + 0.06 * random.next(), 0.06, 0.06, { soft: 0.25 }),
      bright ? 0.8 : 0.42,
    );
    told.push(
      `a ${bright ? "hyperdense" : "hypodense"} mass in the ${random.pick(["left", "right"])} lobe of the liver`,
    );
  }
  if (random.next() < 0.4) {
    add(canvas, ellipse(side === "left" ? 0.67 : 0.34, 0.66, 0.05, 0.06, { soft: 0.3 }), -0.3);
    told.push(`severe ${side} hydronephrosis`);
  }
  if (told.length === 0) told.push("normal appearance of the liver, spleen and kidneys");
  const opening = random.pick([
    "Contrast-enhanced CT of the abdomen showing",
    "Axial abdominal CT scan demonstrating",
  ]);
  return {
    canvas,
    caption: `${opening} ${told.join(" and ")}.`,
    part: "Abdomen",
    modality: "CT",
    concepts: [ct, "C0000726"],
  };
}
