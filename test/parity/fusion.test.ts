import { describe, expect, it } from "vitest";
import { noDropout } from "../../nodes/nn/dropout.ts";
import { opsOf } from "../../nodes/nn/ops.ts";
import type { Tensor } from "../../nodes/nn/ops.ts";
import { keyMask } from "../../nodes/nn/post-norm-attention.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import { fuse, fuseBackward } from "../../nodes/vqa/fusion.ts";
import { fusionShapes, isTransposed } from "../../nodes/vqa/fusion-config.ts";
import type { FusionConfig } from "../../nodes/vqa/fusion-config.ts";
import {
  expectClose,
  floats,
  goldenCases,
  goldenJson,
  goldenTensors,
  openBackend,
  parityBackends,
} from "./clip-golden.ts";

interface Config {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly ffn: number;
  readonly text_in: number;
  readonly image_in: number;
}

type Gradients = Readonly<
  Record<string, { readonly loss: number; readonly grad_l2: Readonly<Record<string, number>> }>
>;

const variants = ["eot", "first", "eot_image_masked"] as const;
const cases = goldenCases("fusion");

describe.skipIf(cases.length === 0)("fusion matches the golden cases (skipped without golden data)", () => {
  for (const { backend, loads } of parityBackends) {
    describe.skipIf(!loads)(`on ${backend}${loads ? "" : " (not installed)"}`, () => {
      describe.each(cases)("$id", (found) => {
        const { ffn, heads, image_in, layers, text_in, width } = found.config as unknown as Config;
        const config: FusionConfig = {
          layers,
          width,
          heads,
          ffn,
          inputs: { text: text_in, image: image_in },
        };
        const { atol, grad_l2_rtol } = found.tolerance as {
          readonly atol: number;
          readonly grad_l2_rtol: number;
        };

        it.each(variants)("%s: tokens, pooled features and gradients", async (variant) => {
          const ops = opsOf(await openBackend(backend));
          const weights = await goldenTensors(found, "weights");
          const inputs = await goldenTensors(found, "inputs");
          const expected = await goldenTensors(found, "expected");
          const gradientsOf = goldenJson(found.files["gradients"]) as Gradients;
          expect(fusionShapes(config)).toEqual(
            new Map([...weights].map(([name, { shape }]) => [name, shape])),
          );
          const parameters = new Map(
            [...weights].map(([name, stored]) => {
              const plain = ops.tensor(stored.data as Float32Array, stored.shape);
              return [name, isTransposed(name, stored.shape) ? ops.transpose(plain, [1, 0]) : plain] as const;
            }),
          );
          const tokens = (name: "text" | "image", mask: string) => {
            const [batch = 0, count = 0, inner = 0] = inputs.get(`${name}_tokens`)!.shape;
            return {
              rows: ops.tensor(floats(inputs, `${name}_tokens`), [batch * count, inner]),
              tokens: count,
              mask: keyMask(ops, integers(inputs.get(mask)), { batch, heads, keys: count }),
            };
          };
          const text = tokens("text", "text_mask");
          const image = tokens("image", variant === "eot_image_masked" ? "image_mask_partial" : "image_mask");
          const ends = [...integers(inputs.get("eot_index"))];
          const zeros = ends.map(() => 0);
          const fused = fuse(
            { ops, config, parameters },
            {
              text: { ...text, pooled: variant === "first" ? zeros : ends },
              image: { ...image, pooled: zeros },
            },
            { keep: "all", drop: noDropout },
          );
          const read = (tensor: Tensor): Float32Array => Float32Array.from(ops.read(tensor));
          const near = (what: string) => ({ what, atol });
          expectClose(read(fused.tokens.text), floats(expected, `${variant}.text_out`), near("text"));
          expectClose(read(fused.tokens.image), floats(expected, `${variant}.image_out`), near("image"));
          const h = read(fused.h);
          expectClose(h, floats(expected, `${variant}.pooled`), near("pooled"));

          // L = Σ h w + 0.1 Σ h², w from -1 to 1 over h.
          const weight = (i: number): number => -1 + (2 * i) / (h.length - 1);
          const loss = h.reduce((sum, value, i) => sum + value * weight(i) + 0.1 * value ** 2, 0);
          const { grad_l2, loss: wanted } = gradientsOf[variant]!;
          expect(Math.abs(loss / wanted - 1)).toBeLessThan(1e-5);
          const dh = ops.tensor(
            h.map((value, i) => weight(i) + 0.2 * value),
            fused.h.shape,
          );
          const gradients = new Map<string, Tensor>();
          const d = fuseBackward({ ops, config, parameters }, fused.saved!, dh, gradients);
          for (const stream of ["text", "image"] as const) {
            const [got, want] = [read(d[stream]), floats(expected, `${variant}.grad_${stream}`)];
            expect(norm(got.map((value, i) => value - want[i]!)) / norm(want)).toBeLessThan(grad_l2_rtol);
          }
          expect(new Set(gradients.keys())).toEqual(new Set(parameters.keys()));
          for (const [name, gradient] of gradients) {
            // The softmax does not see a key's bias: its gradient is rounding alone.
            if (name.endsWith("self.key.bias")) continue;
            expect(Math.abs(norm(read(gradient)) / grad_l2[name]! - 1), name).toBeLessThan(grad_l2_rtol);
          }
        });
      });
    });
  }
});

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));

function integers(tensor: StoredTensor | undefined): Int32Array {
  if (!(tensor?.data instanceof Int32Array)) throw new Error("no integer tensor");
  return tensor.data;
}
