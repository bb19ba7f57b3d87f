import { describeType } from "../grid/describe-type.ts";
import { unwrap } from "../grid/schema.ts";
import type { Json } from "../model/json.ts";
import type { NodeType, ParamMeta } from "../sdk.ts";

/** A parameter as the reference shows it. */
export interface ParamDescription {
  readonly name: string;
  /** `number from 0 to 100`, `probe | mlp | ran`, `list of text`. */
  readonly type: string;
  readonly required: boolean;
  /** Absent where there is none. */
  readonly default?: Json;
  readonly meta: ParamMeta;
}

/** The parameters of a node type, in the order of its schema. */
export function describeParams({ params }: NodeType): readonly ParamDescription[] {
  return Object.entries(params.shape).map(([name, schema]) => {
    const absent = schema.safeParse(undefined);
    return {
      name,
      type: describeType(schema),
      required: !absent.success,
      ...(absent.success && absent.data !== undefined && { default: absent.data as Json }),
      meta: unwrap(schema).meta,
    };
  });
}
