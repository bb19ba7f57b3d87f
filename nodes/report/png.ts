import { useOwnFonts } from "./fonts.ts";
import { loadSharp } from "../data/sharp.ts";

/** Pixels of the PNG per pixel of the SVG. */
const pngScale = 2;

/** Dots per inch at which the SVG library draws one pixel per pixel. */
const plainDensity = 72;

/** Draws SVG text as a PNG at twice its size, with ranflow's own fonts. */
export async function renderPng(svg: string, scratch: string): Promise<Uint8Array> {
  await useOwnFonts(scratch);
  const sharp = await loadSharp();
  // The font library takes a list of families for one name, where the first is at hand anyway.
  const own = svg.replaceAll(/font-family="([^",]+),[^"]*"/g, 'font-family="$1"');
  return sharp(Buffer.from(own), { density: plainDensity * pngScale, unlimited: true })
    .png({ compressionLevel: 9 })
    .toBuffer();
}
