import { canonicalJson } from "../../cache/canonical.ts";
import type { Coordinates } from "../model/artifact.ts";
import type { Fingerprint, FingerprintInput } from "../model/fingerprint.ts";
import type { Digest } from "../model/ids.ts";
import type { Json } from "../model/json.ts";
import type { ExternalFile, FieldChange } from "../model/plan.ts";

/** The names and digests in an external list; undefined where the list is not in the store. */
export type ReadExternalList = (list: Digest) => readonly ExternalFile[] | undefined;

/** More changed files than this are counted rather than named. */
const filesNamed = 20;
/** Of a list with more changed items than this, the whole is shown, before and after. */
const itemsNamed = 3;

/**
 * The fields in which two fingerprints differ, as dot paths down to the leaf: `params.epochs`, `params.command[3]`, `inputs.pairs`,
 * `inputs.rows[noise=image]`, `external.images/a.png`. Made from the very records that are hashed: no changes
 * means equal keys.
 */
export function fieldChanges(
  before: Fingerprint,
  after: Fingerprint,
  readList: ReadExternalList = () => undefined,
): readonly FieldChange[] {
  return [
    ...leafChanges("type", before.type, after.type),
    ...leafChanges("version", before.version, after.version),
    ...leafChanges("seed", before.seed, after.seed),
    ...leafChanges("params", before.params, after.params),
    ...inputChanges(before, after),
    ...externalChanges(before, after, readList),
    ...leafChanges("environment", before.environment, after.environment),
    ...leafChanges("source", before.source as Json | undefined, after.source as Json | undefined),
  ];
}

/** The path of an input's item in a change: `inputs.pairs`, `inputs.rows[noise=image,gamma=5]`. */
export function inputField(port: string, at?: Coordinates): string {
  if (at === undefined) return `inputs.${port}`;
  const place = Object.entries(at).map(([axis, label]) => `${axis}=${String(label)}`);
  return `inputs.${port}[${place.join(",")}]`;
}

function leafChanges(field: string, before: Json | undefined, after: Json | undefined): FieldChange[] {
  if (isObject(before) && isObject(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
    return names.flatMap((name) => leafChanges(`${field}.${name}`, own(before, name), own(after, name)));
  }
  if (same(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    const changes = before.flatMap((item, i) => leafChanges(`${field}[${i}]`, item, after[i]));
    // One argument of a command says more than two commands; of a list that is another one, the whole does.
    if (changes.length <= itemsNamed) return changes;
  }
  return [change(field, before, after)];
}

function inputChanges(before: Fingerprint, after: Fingerprint): FieldChange[] {
  const ports = [...new Set([...Object.keys(before.inputs), ...Object.keys(after.inputs)])].toSorted();
  return ports.flatMap((port) => {
    const [old, now] = [before.inputs[port], after.inputs[port]];
    if (same(old, now)) return [];
    if (!isList(old) && !isList(now)) return [change(`inputs.${port}`, old, now)];
    const [oldItems, nowItems] = [itemsOf(port, old), itemsOf(port, now)];
    const fields = [...new Set([...oldItems.keys(), ...nowItems.keys()])];
    const changes = fields
      .filter((field) => oldItems.get(field) !== nowItems.get(field))
      .map((field) => change(field, oldItems.get(field), nowItems.get(field)));
    if (changes.length > 0) return changes;
    // Nothing collected on one side, and no such port on the other.
    if (oldItems.size === 0) return [change(`inputs.${port}`, old, now)];
    return [change(`inputs.${port}.order`, [...oldItems.keys()], [...nowItems.keys()])];
  });
}

/** Items by field; equal coordinates (of a list of bindings) are numbered, so that each keeps a field of its own. */
function itemsOf(port: string, input: FingerprintInput<Digest> | undefined): Map<string, Digest> {
  const items = new Map<string, Digest>();
  if (input === undefined) return items;
  if (!isList(input)) return items.set(inputField(port), input);
  for (const { at, digest } of input) {
    const field = inputField(port, at);
    let name = field;
    for (let n = 2; items.has(name); n++) name = `${field}#${n}`;
    items.set(name, digest);
  }
  return items;
}

function externalChanges(before: Fingerprint, after: Fingerprint, readList: ReadExternalList): FieldChange[] {
  const [old, now] = [before.external, after.external];
  if (old?.digest === now?.digest) return leafChanges("external.count", old?.count, now?.count);
  const oldFiles = old && readList(old.digest);
  const nowFiles = now && readList(now.digest);
  if (!oldFiles || !nowFiles) return [change("external", old?.digest, now?.digest)];
  const oldDigests = new Map(oldFiles.map(([name, digest]) => [name, digest]));
  const nowDigests = new Map(nowFiles.map(([name, digest]) => [name, digest]));
  const names = [...new Set([...oldDigests.keys(), ...nowDigests.keys()])]
    .filter((name) => oldDigests.get(name) !== nowDigests.get(name))
    .toSorted();
  // The list's own bytes differ in something other than names and digests.
  if (names.length === 0) return [change("external", old?.digest, now?.digest)];
  const named = names
    .slice(0, filesNamed)
    .map((name) => change(`external.${name}`, oldDigests.get(name), nowDigests.get(name)));
  const rest = names.length - named.length;
  return rest === 0 ? named : [...named, { field: "external", after: `${rest} more files changed` }];
}

function change(field: string, before: Json | undefined, after: Json | undefined): FieldChange {
  return { field, ...(before !== undefined && { before }), ...(after !== undefined && { after }) };
}

function same(before: Json | undefined, after: Json | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return canonicalJson(before) === canonicalJson(after);
}

function own(object: Readonly<Record<string, Json>>, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: Json | undefined): value is Readonly<Record<string, Json>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isList(
  input: FingerprintInput<Digest> | undefined,
): input is Exclude<FingerprintInput<Digest>, Digest> {
  return Array.isArray(input);
}
