/**
 * Stands in for a model that describes images, so that pipelines run where there is none: it compares the two lungs of a chest radiograph,
 * zone by zone, and says where one is brighter. It has learned nothing, and its answers say nothing about such models.
 *
 * node describer.mjs ITEMS ANSWERS [LEAST]: JSON lines { id, image } in, { id, text } out. Images are 8-bit PNG in colour; LEAST is the
 * smallest difference of brightness, 1 for black and white, that is worth a word.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

const [items, answers, least = "0.1"] = process.argv.slice(2);

const zones = { upper: [0.2, 0.38], middle: [0.38, 0.54], lower: [0.54, 0.7] };
// The patient's right is the picture's left.
const lungs = { right: [0.16, 0.42], left: [0.58, 0.84] };

const lines = readFileSync(items, "utf8").split("\n").filter(Boolean);
const written = lines.map((line) => {
  const { id, image } = JSON.parse(line);
  return `${JSON.stringify({ id, text: describe(pixels(readFileSync(image))) })}\n`;
});
writeFileSync(answers, written.join(""));

function describe(picture) {
  const found = Object.entries(zones).map(([zone, rows]) => {
    const more = brightness(picture, lungs.left, rows) - brightness(picture, lungs.right, rows);
    return { zone, side: more > 0 ? "left" : "right", difference: Math.abs(more) };
  });
  const { zone, side, difference } = found.toSorted((a, b) => b.difference - a.difference)[0];
  if (difference < Number(least)) return "Chest radiograph with clear lungs and a normal cardiac silhouette.";
  const degree = difference > 2 * Number(least) ? "dense" : "mild";
  return `Chest radiograph showing ${degree} consolidation of the ${side} ${zone} zone.`;
}

/** Mean of a part of a picture, in [0, 1]; its sides are given as shares of the picture's. */
function brightness({ width, height, channels, values }, [left, right], [top, bottom]) {
  let sum = 0;
  let count = 0;
  for (let y = Math.floor(top * height); y < bottom * height; y++) {
    for (let x = Math.floor(left * width); x < right * width; x++) {
      sum += values[(y * width + x) * channels];
      count++;
    }
  }
  return sum / count / 255;
}

/** Reads a PNG of 8 bits a channel that is not interlaced. */
function pixels(file) {
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  const channels = { 0: 1, 2: 3, 4: 2, 6: 4 }[file[25]];
  const parts = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT")
      parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  }
  const rows = inflateSync(Buffer.concat(parts));
  const stride = width * channels;
  const values = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const [left, up, corner] = [
        x < channels ? 0 : values[at - channels],
        y === 0 ? 0 : values[at - stride],
        x < channels || y === 0 ? 0 : values[at - stride - channels],
      ];
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      values[at] = rows[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return { width, height, channels, values };
}

/** Whichever of its neighbours is nearest to left + up - corner. */
function paeth(left, up, corner) {
  const goal = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(goal - value));
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
