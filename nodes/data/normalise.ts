/** Channel means that OpenAI's CLIP, OpenCLIP and BiomedCLIP subtract, for RGB in [0, 1]. */
export const clipMean: readonly [number, number, number] = [0.48145466, 0.4578275, 0.40821073];

/** Channel standard deviations that they divide by. */
export const clipStd: readonly [number, number, number] = [0.26862954, 0.26130258, 0.27577711];

/**
 * (u8 / 255 - mean) / std per channel.
 *
 * @param rgb interleaved RGB, [..., 3]
 * @returns float32 of the same shape
 */
export function normaliseRgb(
  rgb: Uint8Array,
  { mean = clipMean, std = clipStd }: NormaliseOptions = {},
): Float32Array {
  const table = [0, 1, 2].map((channel) =>
    Float32Array.from({ length: 256 }, (_, value) => (value / 255 - mean[channel]!) / std[channel]!),
  );
  const into = new Float32Array(rgb.length);
  const [red, green, blue] = table as [Float32Array, Float32Array, Float32Array];
  for (let i = 0; i < rgb.length; i += 3) {
    into[i] = red[rgb[i]!]!;
    into[i + 1] = green[rgb[i + 1]!]!;
    into[i + 2] = blue[rgb[i + 2]!]!;
  }
  return into;
}

export interface NormaliseOptions {
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}
