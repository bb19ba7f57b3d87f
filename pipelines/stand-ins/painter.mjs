/**
 * Stands in for a model that makes images from text, so that pipelines run where there is none: it looks for words about the chest in
 * each caption and paints what they say as plain shapes. It has learned nothing, and its pictures say nothing about such models.
 *
 * node painter.mjs ITEMS ANSWERS [SIDE]: JSON lines { id, caption } in, { id, image } out; images are grey PNG of SIDE pixels.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { crc32, deflateSync } from "node:zlib";

const [items, answers, side = "64"] = process.argv.slice(2);
const size = Number(side);

const lines = readFileSync(items, "utf8").split("\n").filter(Boolean);
const written = lines.map((line, index) => {
  const { id, caption } = JSON.parse(line);
  const image = `${index}.png`;
  writeFileSync(join(dirname(answers), image), png(paint(caption.toLowerCase())));
  return `${JSON.stringify({ id, image })}\n`;
});
writeFileSync(answers, written.join(""));

/** Grey values of the picture that a caption tells of. */
function paint(caption) {
  const says = (...words) => words.some((word) => caption.includes(word));
  const chest = !says("abdom", "brain", "head", "skull", "knee", "femur", "pelvi");
  const dense = says("large", "severe", "marked", "dense") ? 0.5 : 0.3;
  // The patient's right is the picture's left.
  const across = says("right") && !says("left") ? [0.3] : says("left") && !says("right") ? [0.7] : [0.3, 0.7];
  const down = says("upper", "apical") ? 0.3 : says("lower", "base", "basal", "angle") ? 0.65 : 0.47;
  const shapes = [{ x: 0.5, y: 0.6, rx: 0.45, ry: 0.6, add: 0.5 }];
  if (chest) {
    const air = says("emphysema", "hyperinflat", "hyperlucent") ? 0.42 : 0.34;
    for (const x of [0.3, 0.7]) shapes.push({ x, y: 0.47, rx: 0.16, ry: 0.3, add: -air });
    shapes.push({ x: 0.55, y: 0.62, rx: says("cardiomegaly", "enlarged") ? 0.22 : 0.14, ry: 0.16, add: 0.3 });
  }
  const blob = (x, y, radius, add) => shapes.push({ x, y, rx: radius, ry: radius, add });
  for (const x of across) {
    if (says("nodule")) blob(x, down, 0.05, dense);
    if (says("mass")) blob(x, down, 0.1, dense);
    if (says("pneumonia", "consolidation", "opacit", "infiltrat", "edema", "fibrosis"))
      blob(x, down, 0.13, dense);
    if (says("effusion", "atelectasis", "thickening", "fluid")) blob(x, 0.75, 0.14, dense);
    if (says("pneumothorax")) blob(x, 0.25, 0.12, -dense);
  }
  return Uint8Array.from({ length: size * size }, (_, at) => {
    const [u, v] = [((at % size) + 0.5) / size, (Math.floor(at / size) + 0.5) / size];
    const value = shapes.reduce((sum, { x, y, rx, ry, add }) => {
      const distance = Math.hypot((u - x) / rx, (v - y) / ry);
      return sum + add * Math.min(1, Math.max(0, 6 * (1 - distance)));
    }, 0.05);
    return 255 * Math.min(1, Math.max(0, value));
  });
}

/** An 8-bit grey PNG. */
function png(grey) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header[8] = 8;
  const rows = Buffer.alloc(size * (size + 1));
  for (let y = 0; y < size; y++) rows.set(grey.subarray(y * size, (y + 1) * size), y * (size + 1) + 1);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND")]);
}

function chunk(type, data = Buffer.alloc(0)) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}
