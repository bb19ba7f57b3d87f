import type { Json } from "../engine/model/json.ts";

/** A value that has no canonical JSON form: a bug of the caller, with the path of the value. */
export class CanonicalError extends TypeError {
  constructor(path: string, what: string) {
    super(`no canonical JSON for ${what} at ${path || "the top"}`);
    this.name = "CanonicalError";
  }
}

/**
 * Canonical JSON by RFC 8785: members sorted by the UTF-16 code units of their names, numbers and strings as
 * ECMAScript writes them, -0 as 0, no white space.
 *
 * @throws CanonicalError for NaN, infinities, undefined and other values that JSON cannot hold, and for strings
 *   with lone surrogates, which RFC 8785 (section 3.2.2.2) refuses
 */
export function canonicalJson(value: Json): string {
  return write(value, "");
}

function write(value: unknown, path: string): string {
  switch (typeof value) {
    case "string":
      return writeString(value, path);
    case "number":
      if (!Number.isFinite(value)) throw new CanonicalError(path, String(value));
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      return value === null
        ? "null"
        : Array.isArray(value)
          ? writeArray(value, path)
          : writeObject(value, path);
    default:
      throw new CanonicalError(path, typeof value);
  }
}

function writeString(value: string, path: string): string {
  if (!value.isWellFormed()) throw new CanonicalError(path, "a string with a lone surrogate");
  return JSON.stringify(value);
}

function writeArray(values: readonly unknown[], path: string): string {
  let text = "[";
  for (let i = 0; i < values.length; i++) text += (i ? "," : "") + write(values[i], `${path}[${i}]`);
  return text + "]";
}

function writeObject(object: object, path: string): string {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new CanonicalError(path, object.constructor?.name ?? "an object of a class");
  }
  // The default sort compares UTF-16 code units, which is the order RFC 8785 asks for.
  const names = Object.keys(object).toSorted();
  let text = "{";
  for (const [i, name] of names.entries()) {
    const inner = path === "" ? name : `${path}.${name}`;
    const value = (object as Readonly<Record<string, unknown>>)[name];
    text += `${i ? "," : ""}${writeString(name, path)}:${write(value, inner)}`;
  }
  return text + "}";
}
