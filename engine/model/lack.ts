import type { Json } from "./json.ts";
import type { Provenance } from "./plan.ts";

/** What a result has nothing for, because nobody answered. */
export interface Lack {
  /** In words: `3 of 8 captions have no answer: 3 x timeout`. */
  readonly what: string;
  /** For how many of these another time may help. */
  readonly passing: number;
}

/** What a step said that its result lacks, by `provenance({ lacks })`. */
export function lackOf({ compute }: Provenance): Lack | undefined {
  const lacks = compute?.["lacks"];
  if (typeof lacks !== "object" || lacks === null || Array.isArray(lacks)) return undefined;
  const { what, passing } = lacks as Readonly<Record<string, Json>>;
  return typeof what === "string" && typeof passing === "number" ? { what, passing } : undefined;
}
