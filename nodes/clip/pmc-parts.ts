import { sharedPrefix } from "../checkpoints/shared-prefix.ts";
import type { StoredTensor } from "../safetensors.ts";

type Tensors = ReadonlyMap<string, StoredTensor>;

/**
 * PMC-CLIP's three files (image encoder, text encoder, and the bare matrix that projects the text) under the names of
 * its full checkpoint. What is what, the keys say.
 *
 * @returns undefined where a file is none of the three
 */
export function joinPmcParts(parts: readonly Tensors[]): Tensors | undefined {
  const joined = new Map<string, StoredTensor>();
  for (const part of parts) {
    const prefix = sharedPrefix([...part.keys()]);
    const given = new Map([...part].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
    const rename = renaming(given);
    if (!rename) return undefined;
    for (const [name, tensor] of given) joined.set(rename(name), tensor);
  }
  if (!joined.has("logit_scale")) {
    // The files leave it out; it is what the full checkpoint was trained to.
    joined.set("logit_scale", { shape: [], data: Float32Array.of(4.4292) });
  }
  return joined;
}

function renaming(part: Tensors): ((name: string) => string) | undefined {
  if (part.has("attnpool.positional_embedding")) return (name) => `visual.${name}`;
  if (part.has("embeddings.word_embeddings.weight")) return (name) => `text_encoder.${name}`;
  const [only] = part.values();
  if (part.size === 1 && only?.shape.length === 2) return () => "text_projection";
  return undefined;
}
