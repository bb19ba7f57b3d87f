declare const brand: unique symbol;
type Brand<Name extends string> = string & { readonly [brand]: Name };

/** `sha256:<64 hex>`: the hash of content. */
export type Digest = Brand<"Digest">;

/** `<64 hex>`: the hash of a fingerprint. */
export type Key = Brand<"Key">;

/** `<64 hex>`: the hash of a recipe (a fingerprint whose inputs are upstream recipes). */
export type RecipeKey = Brand<"RecipeKey">;

/** `node[axis=label,...]`, or the bare node name where the step has no axes. */
export type StepId = Brand<"StepId">;

/** Sortable id of a run: `20261124-030500-4f2a`. */
export type RunId = Brand<"RunId">;
