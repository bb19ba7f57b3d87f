import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { decodeForModel, decodeImage, fitForModel, toRgb } from "../../nodes/data/images.ts";
import { normaliseRgb } from "../../nodes/data/normalise.ts";

const golden = resolve(process.env["RANFLOW_GOLDEN"] ?? join(import.meta.dirname, "../../../shared/golden"));
const index = join(golden, "index.json");

interface Case {
  readonly id: string;
  readonly files: Readonly<Record<string, string>>;
  readonly config: { readonly sizes: readonly number[]; readonly mean: number[]; readonly std: number[] };
  readonly tolerance: {
    readonly strict_8bit_intermediate: {
      readonly u8_max_abs: number;
      readonly u8_fraction_different: number;
      readonly f32_atol: number;
    };
    readonly jpeg_with_other_decoder_u8_max_abs: number;
  };
}

interface Picture {
  readonly file: string;
  readonly pil_mode: string;
  readonly width: number;
  readonly height: number;
  readonly format: string;
  readonly expected: string;
}

type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: Uint8Array }>;

/** Tensors of a safetensors file as raw bytes. */
function tensorsOf(path: string): Tensors {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  const tensors: Tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [from, to] = entry.data_offsets;
    tensors.set(name, {
      shape: entry.shape,
      data: new Uint8Array(bytes.subarray(8 + length + from, 8 + length + to)),
    });
  }
  return tensors;
}

function differences(got: Uint8Array, expected: Uint8Array): { max: number; fraction: number } {
  expect(got.length).toBe(expected.length);
  let max = 0;
  let different = 0;
  for (let i = 0; i < got.length; i++) {
    const difference = Math.abs(got[i]! - expected[i]!);
    max = Math.max(max, difference);
    if (difference > 0) different++;
  }
  return { max, fraction: different / got.length };
}

const cases = existsSync(index)
  ? (JSON.parse(readFileSync(index, "utf8")) as { cases: Case[] }).cases.filter(({ id }) =>
      id.startsWith("preprocess/"),
    )
  : [];

describe.skipIf(!existsSync(index))(
  `preprocessing against the golden images (skipped without ${golden})`,
  () => {
    it("has cases in its index", () => expect(cases.length).toBeGreaterThan(0));

    for (const { id, files, config, tolerance } of cases) {
      const list = join(golden, files["images"] ?? "");
      const folder = dirname(list);
      const { images } = JSON.parse(readFileSync(list, "utf8")) as { images: Picture[] };
      const strict = tolerance.strict_8bit_intermediate;

      describe(id, () => {
        it("has images", () => expect(images.length).toBeGreaterThan(0));

        for (const picture of images) {
          const path = join(folder, picture.file);
          const expected = tensorsOf(join(folder, picture.expected));
          // open_clip lets 16-bit grey saturate to white; the golden set keeps the scaled reading beside it.
          const scaled = expected.has(`scaled16_u8_${config.sizes[0]}`);
          const decoderSlack = picture.format === "JPEG" ? tolerance.jpeg_with_other_decoder_u8_max_abs : 0;

          it(`decodes ${picture.file} as PIL does`, async () => {
            const image = await decodeImage(path);
            expect([image.width, image.height]).toEqual([picture.width, picture.height]);
            expect(image.mode).toBe(scaled ? "L" : picture.pil_mode);
            const raw16 = expected.get("raw16");
            if (raw16) {
              const samples = new DataView(raw16.data.buffer, raw16.data.byteOffset);
              const width = raw16.data.length / image.data.length;
              const values = Array.from(image.data, (_, i) =>
                Math.round(
                  (width === 2 ? samples.getUint16(2 * i, true) : samples.getInt32(4 * i, true)) / 257,
                ),
              );
              expect([...image.data]).toEqual(values);
              return;
            }
            const decoded = expected.get("decoded_rgb_u8");
            if (decoded)
              expect(differences(toRgb(image), decoded.data).max).toBeLessThanOrEqual(decoderSlack);
          });

          for (const size of config.sizes) {
            const u8 = expected.get(`${scaled ? "scaled16_u8" : "u8"}_${size}`);
            if (!u8) continue;
            it(`fits ${picture.file} to ${size} pixels`, async () => {
              const got = await decodeForModel(path, size);
              const { max, fraction } = differences(got, u8.data);
              if (decoderSlack === 0) {
                expect(max).toBeLessThanOrEqual(strict.u8_max_abs);
                expect(fraction).toBeLessThanOrEqual(strict.u8_fraction_different);
              } else {
                expect(max).toBeLessThanOrEqual(decoderSlack);
              }
            });
          }

          const decoded = expected.get("decoded_rgb_u8");
          // A JPEG decoder may differ by a little; from the reference's own pixels on, nothing may.
          if (decoderSlack > 0 && decoded) {
            it(`resizes the reference's own decoding of ${picture.file} exactly`, () => {
              const { width, height } = picture;
              const image = { width, height, mode: "RGB", data: decoded.data } as const;
              for (const size of config.sizes) {
                const u8 = expected.get(`u8_${size}`)!;
                const { max, fraction } = differences(fitForModel(image, size), u8.data);
                expect(max).toBeLessThanOrEqual(strict.u8_max_abs);
                expect(fraction).toBeLessThanOrEqual(strict.u8_fraction_different);
              }
            });
          }

          if (scaled) continue;
          it(`normalises ${picture.file}`, async () => {
            for (const [name, tensor] of expected) {
              if (!name.startsWith("f32_")) continue;
              const size = tensor.shape[2]!;
              const rgb = normaliseRgb(await decodeForModel(path, size), config);
              const values = new DataView(tensor.data.buffer, tensor.data.byteOffset);
              const atol = decoderSlack === 0 ? strict.f32_atol : decoderSlack * strict.f32_atol;
              let worst = 0;
              for (let c = 0; c < 3; c++) {
                for (let i = 0; i < size * size; i++) {
                  const wanted = values.getFloat32(4 * (c * size * size + i), true);
                  worst = Math.max(worst, Math.abs(rgb[i * 3 + c]! - wanted));
                }
              }
              expect(worst).toBeLessThanOrEqual(atol);
            }
          });
        }
      });
    }
  },
);
