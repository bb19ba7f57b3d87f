import type { Random } from "../../random.ts";

/** A grey picture in the making: radiographic density, 0 (air, black) to 1 (metal, white), before exposure. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  /** [height, width] */
  readonly data: Float32Array;
}

/** A region with soft edges, in units of the picture: (0, 0) top left, (1, 1) bottom right. */
export interface Shape {
  /** 1 inside, 0 outside, in between at the edge. */
  coverage(x: number, y: number): number;
  /** Left, top, right, bottom: beyond, the coverage is 0. */
  readonly box: readonly [number, number, number, number];
}

export function createCanvas(width: number, height: number, density = 0): Canvas {
  return { width, height, data: new Float32Array(width * height).fill(density) };
}

export interface EllipseOptions {
  /** Degrees, clockwise. */
  readonly angle?: number;
  /** Share of the radius over which the edge fades, to either side. */
  readonly soft?: number;
}

export function ellipse(
  x: number,
  y: number,
  rx: number,
  ry: number,
  { angle = 0, soft = 0.1 }: EllipseOptions = {},
): Shape {
  const cos = Math.cos((angle * Math.PI) / 180);
  const sin = Math.sin((angle * Math.PI) / 180);
  const reach = Math.max(rx, ry) * (1 + soft);
  return {
    coverage(u, v) {
      const dx = u - x;
      const dy = v - y;
      const along = (dx * cos + dy * sin) / rx;
      const across = (dy * cos - dx * sin) / ry;
      // Math.hypot guards against overflow at ten times the cost.
      const distance = Math.sqrt(along * along + across * across);
      return 1 - smoothStep(1 - soft, 1 + soft, distance);
    },
    box: [x - reach, y - reach, x + reach, y + reach],
  };
}

/** A line through points, `thickness` wide, with an edge as soft as it is wide. */
export function stroke(points: readonly (readonly [number, number])[], thickness: number): Shape {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  return {
    coverage(u, v) {
      let nearest = Infinity;
      for (let i = 1; i < points.length; i++) {
        nearest = Math.min(nearest, distanceToSegment(u, v, points[i - 1]!, points[i]!));
      }
      return 1 - smoothStep(thickness * 0.25, thickness, nearest);
    },
    box: [
      Math.min(...xs) - thickness,
      Math.min(...ys) - thickness,
      Math.max(...xs) + thickness,
      Math.max(...ys) + thickness,
    ],
  };
}

/** Everything at or below a line y = edge(x), fading over `soft`. */
export function below(edge: (x: number) => number, soft: number): Shape {
  return { coverage: (u, v) => smoothStep(-soft, soft, v - edge(u)), box: [0, 0, 1, 1] };
}

/** Where both shapes are. */
export function both(a: Shape, b: Shape): Shape {
  return {
    coverage: (u, v) => a.coverage(u, v) * b.coverage(u, v),
    box: [
      Math.max(a.box[0], b.box[0]),
      Math.max(a.box[1], b.box[1]),
      Math.min(a.box[2], b.box[2]),
      Math.min(a.box[3], b.box[3]),
    ],
  };
}

/** Where the first shape is and the second is not. */
export function without(a: Shape, b: Shape): Shape {
  return { coverage: (u, v) => a.coverage(u, v) * (1 - b.coverage(u, v)), box: a.box };
}

/** Where any of the shapes is. */
export function any(shapes: readonly Shape[]): Shape {
  return {
    coverage: (u, v) => shapes.reduce((most, shape) => Math.max(most, shape.coverage(u, v)), 0),
    box: [
      Math.min(...shapes.map(({ box }) => box[0])),
      Math.min(...shapes.map(({ box }) => box[1])),
      Math.max(...shapes.map(({ box }) => box[2])),
      Math.max(...shapes.map(({ box }) => box[3])),
    ],
  };
}

/** The same shape, looked up per pixel of a canvas: for one that many others are cut by. */
export function rasterised(shape: Shape, { width, height }: Canvas): Shape {
  const mask: Canvas = createCanvas(width, height);
  fill(mask, shape, 1);
  return {
    coverage: (u, v) => mask.data[Math.floor(v * height) * width + Math.floor(u * width)]!,
    box: shape.box,
  };
}

/** Adds density within a shape: what lies over what is there already. */
export function add(canvas: Canvas, shape: Shape, density: number): void {
  paint(canvas, shape, (old, coverage) => old + density * coverage);
}

/** Sets the density within a shape: what takes the place of what was there. */
export function fill(canvas: Canvas, shape: Shape, density: number): void {
  paint(canvas, shape, (old, coverage) => old + (density - old) * coverage);
}

function paint(
  canvas: Canvas,
  { box, coverage }: Shape,
  mix: (old: number, coverage: number) => number,
): void {
  const { width, height, data } = canvas;
  const left = Math.max(0, Math.floor(box[0] * width));
  const right = Math.min(width, Math.ceil(box[2] * width));
  const top = Math.max(0, Math.floor(box[1] * height));
  const bottom = Math.min(height, Math.ceil(box[3] * height));
  for (let row = top; row < bottom; row++) {
    const y = (row + 0.5) / height;
    for (let column = left; column < right; column++) {
      const inside = coverage((column + 0.5) / width, y);
      if (inside > 0) data[row * width + column] = mix(data[row * width + column]!, inside);
    }
  }
}

/** How the detector and the reader's screen turn density into grey. */
export interface Exposure {
  /** Density that becomes middle grey. */
  readonly centre: number;
  /** Slope at the centre. */
  readonly contrast: number;
  /** Standard deviation of the noise of single pixels, in grey levels of 0 to 1. */
  readonly grain: number;
  /** The same for smooth clouds over the whole picture. */
  readonly clouds: number;
}

/** Exposes a canvas: 8-bit grey, [height, width]. */
export function expose(canvas: Canvas, exposure: Exposure, random: Random): Uint8Array {
  const { width, height, data } = canvas;
  const grey = new Uint8ClampedArray(width * height);
  const cloud = cloudField(random);
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++, i++) {
      const level =
        0.5 +
        exposure.contrast * (data[i]! - exposure.centre) +
        exposure.grain * random.normal() +
        exposure.clouds * cloud((column + 0.5) / width, (row + 0.5) / height);
      grey[i] = 255 * level;
    }
  }
  return new Uint8Array(grey.buffer);
}

/** Smooth noise of unit variance at its nodes, bilinear between them. */
function cloudField(random: Random): (x: number, y: number) => number {
  const cells = 5;
  const nodes = Float32Array.from({ length: (cells + 1) ** 2 }, () => random.normal());
  const at = (i: number, j: number): number => nodes[j * (cells + 1) + i]!;
  return (x, y) => {
    const i = Math.floor(x * cells);
    const j = Math.floor(y * cells);
    const fx = x * cells - i;
    const fy = y * cells - j;
    return (
      (at(i, j) * (1 - fx) + at(i + 1, j) * fx) * (1 - fy) +
      (at(i, j + 1) * (1 - fx) + at(i + 1, j + 1) * fx) * fy
    );
  };
}

function smoothStep(from: number, to: number, value: number): number {
  if (value <= from) return 0;
  if (value >= to) return 1;
  const t = (value - from) / (to - from);
  return t * t * (3 - 2 * t);
}

function distanceToSegment(
  x: number,
  y: number,
  [ax, ay]: readonly [number, number],
  [bx, by]: readonly [number, number],
): number {
  const dx = bx - ax;
  const dy = by - ay;
  const length = dx * dx + dy * dy;
  const t = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length));
  const ex = x - ax - t * dx;
  const ey = y - ay - t * dy;
  return Math.sqrt(ex * ex + ey * ey);
}
