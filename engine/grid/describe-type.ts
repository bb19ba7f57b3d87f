import type { z } from "zod";
import { definitionOf, unwrap } from "./schema.ts";

/** A schema's type in words. */
export function describeType(schema: z.ZodType): string {
  const { definition, schema: inner } = unwrap(schema);
  return `${describeInner(inner, definition)}${isNullable(schema) ? " or nothing" : ""}`;
}

function describeInner(schema: z.ZodType, definition: ReturnType<typeof definitionOf>): string {
  switch (definition.type) {
    case "number":
      return describeNumber(schema as z.ZodNumber);
    case "string":
      return "text";
    case "boolean":
      return "true or false";
    case "enum":
      return (schema as z.ZodEnum).options.map(String).join(" | ");
    case "literal":
      return [...(schema as z.ZodLiteral).values].map((value) => JSON.stringify(value)).join(" | ");
    case "array":
      return `list of ${definition.element ? describeType(definition.element) : "anything"}`;
    case "tuple":
      return `list of ${(definition.items ?? []).map(describeType).join(", ")}`;
    case "record":
      return `map to ${definition.valueType ? describeType(definition.valueType) : "anything"}`;
    case "object":
      return `map of ${Object.entries(definition.shape ?? {})
        .map(([name, field]) => `${name} (${describeType(field)})`)
        .join(", ")}`;
    case "union":
      return (definition.options ?? []).map(describeType).join(" | ");
    default:
      return "any value";
  }
}

function describeNumber(schema: z.ZodNumber): string {
  const what = schema.format === "safeint" || schema.format === "int32" ? "whole number" : "number";
  const least = bound(schema.minValue);
  const most = bound(schema.maxValue);
  if (least !== undefined && most !== undefined) return `${what} from ${least} to ${most}`;
  if (least !== undefined) return `${what} of at least ${least}`;
  return most === undefined ? what : `${what} of at most ${most}`;
}

// Zod bounds whole numbers by what a double holds exactly, which says nothing to the reader.
function bound(value: number | null): number | undefined {
  if (value === null || !Number.isFinite(value) || Math.abs(value) === Number.MAX_SAFE_INTEGER)
    return undefined;
  return value;
}

function isNullable(schema: z.ZodType): boolean {
  for (let at: z.ZodType | undefined = schema; at; at = definitionOf(at).innerType) {
    if (definitionOf(at).type === "nullable") return true;
  }
  return false;
}
