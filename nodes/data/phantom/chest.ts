import type { Random } from "../../random.ts";
import { add, any, below, both, createCanvas, ellipse, fill, rasterised, stroke, without } from "./canvas.ts";
import type { Canvas, Shape } from "./canvas.ts";
import { drawFinding } from "./chest-findings.ts";
import { direction, sides, strengthOf } from "./finding.ts";
import type { Finding, Side } from "./finding.ts";

/** How a hospital takes its chest radiographs. */
export interface ChestStyle {
  /** Heart size relative to an upright posteroanterior view; portable views magnify it. */
  readonly heart: number;
  /** How far patients are turned and shifted. */
  readonly sloppiness: number;
  /** Density of lungs and of soft tissue. */
  readonly lung: number;
  readonly tissue: number;
}

export interface ChestOptions {
  readonly width: number;
  readonly height: number;
  readonly findings: readonly Finding[];
  /** How strongly findings show: 1 for plainly, less for subtly. */
  readonly contrast: number;
  readonly style: ChestStyle;
  /** Catheters, electrodes, a pacemaker. */
  readonly devices: boolean;
}

/** What findings are drawn onto. */
export interface Chest {
  readonly canvas: Canvas;
  readonly lungs: Readonly<Record<Side, Shape>>;
  /** Centre and half axes of each lung. */
  readonly lung: Readonly<
    Record<Side, { readonly x: number; readonly y: number; readonly rx: number; readonly ry: number }>
  >;
  /** Height of the top of each half of the diaphragm. */
  readonly dome: Readonly<Record<Side, number>>;
  readonly middle: number;
}

/** Draws the frontal radiograph of a chest. */
export function drawChest(options: ChestOptions, random: Random): Canvas {
  const { findings, contrast, style } = options;
  const strength = (label: Finding["label"]): number =>
    findings.reduce(
      (sum, finding) => (finding.label === label ? sum + contrast * strengthOf(finding) : sum),
      0,
    );
  const lossOn = (side: Side): number =>
    findings.some((finding) => finding.label === "Atelectasis" && finding.side === side)
      ? 0.035 * contrast
      : 0;

  const inflation = strength("Emphysema");
  const wobble = (spread: number): number => spread * random.normal();
  const middle = 0.5 + wobble(0.015 * style.sloppiness);
  const turn = wobble(2 * style.sloppiness);
  const build = 1 + wobble(0.05);
  const lungLevel = style.lung - 0.03 * inflation + wobble(0.025);

  const canvas = createCanvas(options.width, options.height, 0.03);
  drawBody(canvas, middle, build, style.tissue + wobble(0.02));

  const rx = 0.165 * build + wobble(0.006);
  const ry = (0.3 + wobble(0.014)) * (1 + 0.04 * inflation);
  const lung = {
    right: { x: middle - 0.195 * build, y: 0.46, rx, ry },
    left: { x: middle + 0.195 * build, y: 0.46, rx: rx * 0.95, ry },
  };
  const dome = {
    right: 0.68 + wobble(0.016) + 0.018 * inflation - lossOn("right"),
    left: 0.705 + wobble(0.016) + 0.018 * inflation - lossOn("left"),
  };
  const arch = 0.09 * Math.max(0.15, 1 - 0.35 * inflation);
  const lungs = {} as Record<Side, Shape>;
  for (const side of sides) {
    const { x, y, rx, ry } = lung[side];
    const diaphragm = below((u) => dome[side] + arch * ((u - x) / rx) ** 2, 0.012);
    const outline = without(
      ellipse(x, y, rx, ry, { angle: direction[side] * -4 + turn, soft: 0.06 }),
      diaphragm,
    );
    lungs[side] = rasterised(outline, canvas);
    fill(canvas, lungs[side], lungLevel);
  }
  const chest: Chest = { canvas, lungs, lung, dome, middle };
  drawVessels(chest, random);
  drawMediastinum(chest, style.heart * (1 + 0.17 * strength("Cardiomegaly")) + wobble(0.09), random);
  drawRibs(chest, build, random);
  for (const finding of findings) drawFinding(chest, finding, contrast, random);
  if (options.devices) drawDevices(chest, random);
  return canvas;
}

function drawBody(canvas: Canvas, middle: number, build: number, tissue: number): void {
  const torso = ellipse(middle, 0.62, 0.45 * build, 0.62, { soft: 0.05 });
  const shoulders = any(
    sides.map((side) => ellipse(middle + direction[side] * 0.3, 0.2, 0.2, 0.13, { soft: 0.2 })),
  );
  const neck = ellipse(middle, 0.02, 0.11, 0.2, { soft: 0.15 });
  fill(canvas, any([torso, shoulders, neck]), tissue);
}

/** Vessels that branch from each hilum and fade outwards. */
function drawVessels({ canvas, lungs, lung, middle }: Chest, random: Random): void {
  for (const side of sides) {
    const hilum: readonly [number, number] = [middle + direction[side] * 0.085, 0.45];
    add(canvas, ellipse(...hilum, 0.045, 0.06, { soft: 0.8 }), 0.12);
    for (let branch = 0; branch < 6; branch++) {
      const angle = (branch / 5 - 0.5) * 2.6 + 0.15 * random.normal();
      const length = lung[side].rx * (1.1 + 0.3 * random.next());
      const tip: readonly [number, number] = [
        hilum[0] + direction[side] * Math.cos(angle) * length,
        hilum[1] + Math.sin(angle) * length * 1.3,
      ];
      add(canvas, both(stroke([hilum, tip], 0.012), lungs[side]), 0.06);
    }
  }
}

function drawMediastinum({ canvas, middle }: Chest, heart: number, random: Random): void {
  const density = 0.7 + 0.015 * random.normal();
  fill(canvas, ellipse(middle, 0.4, 0.075, 0.4, { soft: 0.25 }), density);
  fill(canvas, ellipse(middle + 0.045, 0.3, 0.055, 0.06, { soft: 0.25 }), density);
  fill(
    canvas,
    ellipse(middle + 0.05 * heart, 0.595, 0.125 * heart, 0.13 * heart ** 0.7, { angle: 20, soft: 0.1 }),
    density,
  );
  add(canvas, ellipse(middle, 0.5, 0.035, 0.6, { soft: 0.5 }), 0.06);
  // The windpipe is the one dark thing in the middle.
  add(
    canvas,
    stroke(
      [
        [middle, 0],
        [middle + 0.004 * random.normal(), 0.33],
      ],
      0.022,
    ),
    -0.12,
  );
}

function drawRibs({ canvas, lung, middle }: Chest, build: number, random: Random): void {
  const density = 0.045 + 0.008 * random.normal();
  for (const side of sides) {
    const out = direction[side];
    for (let rib = 0; rib < 8; rib++) {
      const top = 0.13 + rib * 0.075 + 0.004 * random.normal();
      const reach = lung[side].rx * (1.5 + 0.55 * Math.sin(((rib + 1) / 9) * Math.PI)) * 1.02;
      const curve = [0, 0.25, 0.5, 0.75, 1].map((t): [number, number] => [
        middle + out * (0.04 + reach * t),
        top + 0.035 * t - 0.05 * Math.sin(t * Math.PI) + 0.09 * t * t,
      ]);
      add(canvas, stroke(curve, 0.016), density);
    }
    const clavicle: [number, number][] = [
      [middle + out * 0.04, 0.19],
      [middle + out * 0.17, 0.145],
      [middle + out * 0.33 * build, 0.115],
    ];
    add(canvas, stroke(clavicle, 0.022), 0.13);
  }
}

function drawDevices({ canvas, middle }: Chest, random: Random): void {
  const tip: [number, number] = [middle - 0.05, 0.42];
  add(
    canvas,
    stroke([[middle - 0.25, 0.08], [middle - 0.12, 0.14], [middle - 0.055, 0.25], tip], 0.01),
    0.35,
  );
  if (random.next() < 0.5) {
    fill(canvas, ellipse(middle + 0.26, 0.2, 0.05, 0.04, { soft: 0.1 }), 0.95);
    add(
      canvas,
      stroke(
        [
          [middle + 0.24, 0.24],
          [middle + 0.08, 0.3],
          [middle + 0.09, 0.62],
        ],
        0.01,
      ),
      0.3,
    );
  }
  for (const side of sides) {
    if (random.next() < 0.6)
      fill(canvas, ellipse(middle + direction[side] * 0.3, 0.3 + 0.3 * random.next(), 0.018, 0.018), 0.95);
  }
}
