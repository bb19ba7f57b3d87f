import type { z } from "zod";
import type { ParamMeta } from "../sdk.ts";

/** What of a zod schema's definition is read here: all the wrappers and containers. */
interface Definition {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly getter?: () => z.ZodType;
  readonly element?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly catchall?: z.ZodType;
  readonly keyType?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly items?: readonly z.ZodType[];
  readonly rest?: z.ZodType | null;
  readonly options?: readonly z.ZodType[];
  readonly defaultValue?: unknown;
}

/** A schema without its `optional`, `default`, `nullable` and the like, and what their `.meta()` says. */
export interface Unwrapped {
  readonly schema: z.ZodType;
  readonly definition: Definition;
  /** The outermost word wins, wherever in the chain `.meta()` stands. */
  readonly meta: ParamMeta;
}

/** The definition of a schema, through zod's documented introspection. */
export function definitionOf(schema: z.ZodType): Definition {
  return schema._zod.def;
}

const unwrapped = new WeakMap<z.ZodType, Unwrapped>();

/** Takes a schema's wrappers off. */
export function unwrap(schema: z.ZodType): Unwrapped {
  let found = unwrapped.get(schema);
  if (!found) unwrapped.set(schema, (found = takeOff(schema)));
  return found;
}

function takeOff(schema: z.ZodType): Unwrapped {
  let at = schema;
  let meta: ParamMeta = (at.meta() ?? {}) as ParamMeta;
  for (;;) {
    const definition = definitionOf(at);
    const inner =
      definition.innerType ??
      definition.getter?.() ??
      (definition.type === "pipe" ? definition.in : undefined);
    if (!inner) return { schema: at, definition, meta };
    at = inner;
    meta = { ...((at.meta() ?? {}) as ParamMeta), ...meta };
  }
}
