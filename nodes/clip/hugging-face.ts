import { NodeError } from "../../engine/sdk.ts";
import type { PreprocessConfig } from "./config.ts";
import { clipPreprocess } from "./config.ts";
import { channelsIn } from "./config-json.ts";
import type { Hints } from "./infer.ts";
import { numberIn, objectIn, refuseOthers, textIn } from "./json-fields.ts";

/**
 * What Hugging Face's `config.json` says that no tensor shows. Fields that are left out have transformers' defaults.
 *
 * @param value the parsed file, of model type `clip` or `bert`; of any other nothing is taken
 * @param preprocessor the parsed `preprocessor_config.json`, where there is one
 * @throws NodeError where it asks for what is not built
 */
export function huggingFaceHints(value: unknown, source: string, preprocessor?: unknown): Hints {
  const outer = objectIn(value, "the file", source);
  const type = textIn(outer, "model_type");
  if (type === "bert") return { textHeads: numberIn(outer, "num_attention_heads", 12) };
  if (type !== "clip") return {};
  const vision = objectIn(outer.value["vision_config"] ?? {}, "vision_config", source);
  const text = objectIn(outer.value["text_config"] ?? {}, "text_config", source);
  for (const part of [vision, text])
    refuseOthers(part, { hidden_act: ["quick_gelu", "gelu"], layer_norm_eps: 1e-5 });
  const [imageActivation, textActivation] = [vision, text].map(
    (part) => textIn(part, "hidden_act") ?? "quick_gelu",
  );
  if (imageActivation !== textActivation) {
    throw new NodeError(
      `${source}: the image tower has ${imageActivation} and the text tower ${textActivation}; both must have one activation`,
    );
  }
  const eos = numberIn(text, "eos_token_id", 49407);
  return {
    quickGelu: textActivation === "quick_gelu",
    imageSize: numberIn(vision, "image_size", 224),
    visionHeads: numberIn(vision, "num_attention_heads", 12),
    textHeads: numberIn(text, "num_attention_heads", 8),
    // Configurations of old say 2, which no tokeniser has; transformers then takes the largest id.
    eosId: eos === 2 ? undefined : eos,
    ...(preprocessor === undefined ? {} : { preprocess: preprocessOf(preprocessor, source) }),
  };
}

function preprocessOf(value: unknown, source: string): PreprocessConfig {
  const part = objectIn(value, "preprocessor_config.json", source);
  return {
    mean: channelsIn(part, "image_mean") ?? clipPreprocess.mean,
    std: channelsIn(part, "image_std") ?? clipPreprocess.std,
  };
}
