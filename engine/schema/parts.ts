import type { JsonObject } from "../model/json.ts";
import type { Port } from "../sdk.ts";

/** Text with a `$(...)` in it, which can stand for any value. */
export const interpolated: JsonObject = { type: "string", pattern: "\\$\\(" };

export const labelSchema: JsonObject = { type: ["string", "number", "boolean"] };

export function described(schema: JsonObject, description: string): JsonObject {
  return { description, ...schema };
}

/** A value or interpolated text in its place. */
export function orInterpolated(schema: JsonObject): JsonObject {
  return { anyOf: [schema, interpolated] };
}

/** Text of a pattern, or interpolated text. */
export function textOr(pattern: string): JsonObject {
  return orInterpolated({ type: "string", pattern });
}

/** What an input can be bound to. */
export function bindingSchema({ many }: Port): JsonObject {
  return many
    ? { anyOf: [...oneBinding, collect, { type: "array", items: { anyOf: [...oneBinding, collect] } }] }
    : { anyOf: oneBinding };
}

const at: JsonObject = described(
  { type: "object", additionalProperties: labelSchema },
  "Axes to pin, each to one of its labels.",
);

const oneBinding: readonly JsonObject[] = [
  described({ type: "string" }, "`node`, `node.port` or `$(axis)`."),
  {
    type: "object",
    required: ["from"],
    additionalProperties: false,
    properties: { from: described({ type: "string" }, "`node` or `node.port`."), at },
  },
  { type: "null" },
];

const collect: JsonObject = {
  type: "object",
  required: ["collect"],
  additionalProperties: false,
  properties: {
    collect: described({ type: "string" }, "`node` or `node.port` to gather over axes."),
    over: described(
      { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
      "Axes to gather over; all of them unless told.",
    ),
    at,
    as: described(
      { type: "object", additionalProperties: { type: "string" } },
      "Other names for axes in the coordinates, such as those of an imported pipeline.",
    ),
  },
};
