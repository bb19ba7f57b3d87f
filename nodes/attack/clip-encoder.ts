import type { ClipModel } from "../clip/model.ts";
import { encodeImages, encodeImagesBackward } from "../clip/vision.ts";
import { placelessOps } from "../nn/placeless-ops.ts";
import type { Tensor } from "../nn/ops.ts";
import type { AttackEncoder } from "./pgd.ts";

/**
 * The image tower of a CLIP model as an attack sees it: pixels in [0, 1] in, so that distances are in pixel units
 * and gradients pass through the normalisation.
 */
export function clipAttackEncoder(trained: ClipModel): AttackEncoder {
  const ops = placelessOps(trained.ops);
  const model = { ...trained, ops };
  const { mean, std } = trained.config.preprocess_cfg;
  const perChannel = (values: readonly number[]): Tensor =>
    ops.tensor(Float32Array.from(values), [1, 1, 1, 3]);
  const normalised = (images: Tensor): Tensor =>
    ops.tidy(() => ops.div(ops.sub(images, perChannel(mean)), perChannel(std)));
  return {
    encode: (images) => ops.tidy(() => encodeImages(model, normalised(images), "nothing").features),
    forward(images) {
      const input = normalised(images);
      const { features, preProjection, saved } = encodeImages(model, input, "input");
      ops.dispose(input, preProjection);
      return {
        features,
        backward: (dfeatures) =>
          ops.tidy(() => {
            if (!saved) throw new Error("internal error: the forward pass kept nothing");
            const dinput = encodeImagesBackward(model, saved, dfeatures, { input: true });
            if (!dinput) throw new Error("internal error: no gradient of the pixels");
            return ops.div(dinput, perChannel(std));
          }),
      };
    },
  };
}
