import { loadSharp } from "../data/sharp.ts";

/** An image, [height, width, 3], as the address of an SVG's `<image>`: its PNG. */
export async function pngUri(
  rgb: Uint8Array,
  { width, height }: { readonly width: number; readonly height: number },
): Promise<string> {
  const sharp = await loadSharp();
  const png = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 9 })
    .toBuffer();
  return `data:image/png;base64,${png.toString("base64")}`;
}
