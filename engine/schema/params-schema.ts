import { z } from "zod";
import type { Json, JsonObject } from "../model/json.ts";
import type { NodeType } from "../sdk.ts";
import { interpolated } from "./parts.ts";

/** The JSON Schema (draft 7) of a node type's parameters as they are written in `with`. */
export function paramsSchema({ params }: NodeType): JsonObject & { readonly required?: Json } {
  const schema = z.toJSONSchema(params, { target: "draft-07", io: "input", unrepresentable: "any" });
  const { $schema: _, ...object } = schema as unknown as JsonObject;
  return objectSchema(object);
}

/** Words that `.meta()` adds and JSON Schema does not know, and bounds of whole numbers that say nothing. */
function plain(schema: JsonObject): JsonObject {
  const foreign = ["unit", "ephemeral", "neutral", "path", "secretEnv", "template"];
  return Object.fromEntries(
    Object.entries(schema).filter(
      ([key, value]) => !foreign.includes(key) && Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER,
    ),
  );
}

function objectSchema(schema: JsonObject): JsonObject & { readonly required?: Json } {
  const { properties, ...rest } = plain(schema);
  const fields = Object.entries((properties ?? {}) as Readonly<Record<string, JsonObject>>);
  return {
    // zod leaves objects open for input; loading refuses unknown parameters.
    additionalProperties: false,
    ...rest,
    properties: Object.fromEntries(fields.map(([name, field]) => [name, valueSchema(field, undefined)])),
  };
}

/**
 * A value's schema that also takes interpolated text and, where it is a number, a quantity as text.
 *
 * @param inherited the unit of the list that holds the value
 */
function valueSchema(schema: JsonObject, inherited: Json | undefined): JsonObject {
  const { default: fallback, description, ...check } = plain(schema);
  const unit = schema["unit"] ?? inherited;
  const about = [description, schema["unit"] === undefined ? undefined : `(${String(unit)})`].filter(
    (part) => part !== undefined,
  );
  return {
    ...(about.length > 0 && { description: about.join(" ") }),
    ...(fallback !== undefined && { default: fallback }),
    anyOf: [
      inner(check, unit),
      interpolated,
      ...(check["type"] === "number" || check["type"] === "integer"
        ? [{ type: "string", pattern: quantityPattern(unit) }]
        : []),
    ],
  };
}

function inner(check: JsonObject, unit: Json | undefined): JsonObject {
  const sub = (key: string): JsonObject | undefined => {
    const schema = check[key];
    const isSchema = typeof schema === "object" && schema !== null && !Array.isArray(schema);
    return isSchema ? { [key]: valueSchema(schema as JsonObject, unit) } : undefined;
  };
  if (check["properties"] !== undefined) return objectSchema(check);
  const alternatives = check["anyOf"] as readonly JsonObject[] | undefined;
  return {
    ...check,
    ...sub("items"),
    ...sub("additionalProperties"),
    ...(alternatives && { anyOf: alternatives.map((alternative) => valueSchema(alternative, unit)) }),
  };
}

function quantityPattern(unit: Json | undefined): string {
  const number = "[-+]?(\\d+(\\.\\d*)?|\\.\\d+)([eE][-+]?\\d+)?";
  if (unit === "%") return `^${number}\\s*%?$`;
  return unit === "ratio" ? `^${number}(\\s*%|\\s*/\\s*${number})?$` : `^${number}$`;
}
