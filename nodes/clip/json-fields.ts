import { NodeError } from "../../engine/sdk.ts";

/** An object of a JSON file, with the file's name for messages. */
export interface JsonPart {
  readonly value: Readonly<Record<string, unknown>>;
  readonly source: string;
}

/** @throws NodeError where the value is no object */
export function objectIn(value: unknown, what: string, source: string): JsonPart {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new NodeError(`${source}: ${what} is missing or not an object`, {
      hint: "Expected OpenCLIP's open_clip_config.json: { model_cfg: { embed_dim, vision_cfg, text_cfg } }.",
    });
  }
  return { value: value as Record<string, unknown>, source };
}

/** @throws NodeError where the field is no number, or missing without a fallback */
export function numberIn({ value, source }: JsonPart, name: string, fallback?: number): number {
  const found = value[name] ?? fallback;
  if (typeof found !== "number") throw new NodeError(`${source}: ${name} is missing or not a number`);
  return found;
}

/** A text that may be missing or null. @throws NodeError where it is something else */
export function textIn({ value, source }: JsonPart, name: string): string | undefined {
  const found = value[name] ?? undefined;
  if (found !== undefined && typeof found !== "string")
    throw new NodeError(`${source}: ${name} is not a text`);
  return found;
}

/**
 * Refuses a configuration that asks for more than is built: what no tensor shows would otherwise give other numbers
 * without a word.
 *
 * @param supported the values that a field may have where it is there at all
 */
export function refuseOthers(
  { value, source }: JsonPart,
  supported: Readonly<Record<string, unknown>>,
): void {
  const others = Object.entries(supported).filter(([name, values]) => {
    const found = value[name] ?? null;
    return found !== null && ![values].flat().includes(found);
  });
  if (others.length === 0) return;
  const list = others.map(([name]) => `${name}: ${JSON.stringify(value[name])}`).join(", ");
  const wanted = others.map(
    ([name, values]) =>
      `${name} ${[values]
        .flat()
        .map((one) => JSON.stringify(one))
        .join(" or ")}`,
  );
  throw new NodeError(`${source} asks for what is not built: ${list}`, {
    hint: `Supported: ${wanted.join("; ")}.`,
  });
}
