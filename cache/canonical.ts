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
  const sorted = inOrder(value);
  return sorted === odd ? write(value, "") : JSON.stringify(sorted);
}

/** What is left to the writer: no JSON, which it refuses with its place, or members that no object can have in order. */
const odd = Symbol("odd");

/**
 * The value with all members in canonical order, sharing what has them so already. JSON.stringify writes the rest as
 * RFC 8785 wants it, and much faster than can be done here.
 */
function inOrder(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      return value.isWellFormed() ? value : odd;
    case "number":
      return Number.isFinite(value) ? value : odd;
    case "boolean":
      return value;
    case "object":
      return value === null ? null : Array.isArray(value) ? arrayInOrder(value) : objectInOrder(value);
    default:
      return odd;
  }
}

function arrayInOrder(values: readonly unknown[]): unknown {
  let copy: unknown[] | undefined;
  for (let i = 0; i < values.length; i++) {
    const item = inOrder(values[i]);
    if (item === odd) return odd;
    if (item !== values[i]) copy ??= values.slice();
    if (copy) copy[i] = item;
  }
  return copy ?? values;
}

function objectInOrder(object: object): unknown {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) return odd;
  const members = object as Readonly<Record<string, unknown>>;
  const names = Object.keys(members);
  const isSorted = names.every((name, i) => i === 0 || (names[i - 1] as string) < name);
  // However it is made, an object has names like `10` first and by number.
  if (!isSorted && names.some((name) => /^\d/.test(name))) return odd;
  let copy: Record<string, unknown> | undefined = isSorted ? undefined : {};
  for (const name of isSorted ? names : names.toSorted()) {
    const value = inOrder(members[name]);
    // Setting `__proto__` would make no member of it.
    if (value === odd || name === "__proto__" || !name.isWellFormed()) return odd;
    if (value !== members[name]) copy ??= { ...members };
    if (copy) copy[name] = value;
  }
  return copy ?? members;
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
