import type { RunId } from "../../engine/model/ids.ts";
import { digestBytes } from "../hash.ts";
import { parseRoster } from "../rosters.ts";
import { isTagName } from "../tags.ts";
import { timeOfRun } from "../runs.ts";
import type { RosterEntry } from "../types.ts";
import { notTaken } from "./errors.ts";
import type { Remote } from "./folder.ts";

/** What names results in a shared folder. */
export type RefKind = "pipelines" | "runs" | "tags";

/** Which results a pipeline's last run, a run or a tag had. */
export interface Ref {
  readonly kind: RefKind;
  /** Of the pipeline, the run or the tag. */
  readonly name: string;
  readonly pipeline: string;
  readonly run?: RunId;
  readonly entries: readonly RosterEntry[];
}

/** Writes a reference; of a pipeline's, the last that was pushed counts. */
export async function putRef(remote: Remote, { entries, ...header }: Ref): Promise<void> {
  const lines = entries.map(([step, key]) => `${key} ${step}\n`);
  await remote.putText(pathOf(header.kind, header.name), `${JSON.stringify(header)}\n${lines.join("")}`);
}

/**
 * The reference of that name; undefined where there is none.
 *
 * @throws StoreError where what lies there is none
 */
export async function readRef(remote: Remote, kind: RefKind, name: string): Promise<Ref | undefined> {
  const path = pathOf(kind, name);
  const text = await remote.readText(path);
  if (text === undefined) return undefined;
  const ref = parseRef(text, kind);
  if (ref?.name === name) return ref;
  throw notTaken(`${remote.root}/${path}`, "is no list of results");
}

/**
 * All references of a kind.
 *
 * @throws StoreError where what lies there is none
 */
export async function readRefs(remote: Remote, kind: RefKind): Promise<readonly Ref[]> {
  const refs: Ref[] = [];
  for (const file of await remote.names(`refs/${kind}`)) {
    const path = `refs/${kind}/${file}`;
    const text = await remote.readText(path);
    const ref = text === undefined ? undefined : parseRef(text, kind);
    if (!ref || pathOf(kind, ref.name) !== path)
      throw notTaken(`${remote.root}/${path}`, "is no list of results");
    refs.push(ref);
  }
  return refs;
}

/** Readable, and told apart by a hash: a pipeline may be called anything. */
function pathOf(kind: RefKind, name: string): string {
  const readable = name.replaceAll(/[^A-Za-z0-9_+-]+/g, "_").slice(0, 80);
  return `refs/${kind}/${readable}-${digestBytes(name).slice(7, 19)}`;
}

function parseRef(text: string, kind: RefKind): Ref | undefined {
  const end = text.indexOf("\n");
  const entries = parseRoster(text.slice(end + 1));
  try {
    const { name, pipeline, run } = JSON.parse(text.slice(0, end)) as Readonly<Record<string, unknown>>;
    if (!entries || typeof name !== "string" || typeof pipeline !== "string") return undefined;
    if (kind === "tags" && !isTagName(name)) return undefined;
    if (kind === "runs" && timeOfRun(name) === undefined) return undefined;
    if (run !== undefined && !(typeof run === "string" && timeOfRun(run) !== undefined)) return undefined;
    return { kind, name, pipeline, ...(run !== undefined && { run: run as RunId }), entries };
  } catch {
    return undefined;
  }
}
