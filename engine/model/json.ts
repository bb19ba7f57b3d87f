/** Any value that JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json };

/** A JSON value that a table cell, a coordinate or a metric can hold. */
export type Scalar = null | boolean | number | string;
