import { canonicalJson } from "../../cache/canonical.ts";
import { taggedHash } from "../../cache/hash.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import type { ExternalList, Fingerprint, FingerprintInput, Recipe } from "../model/fingerprint.ts";
import type { Step, StepInput } from "../model/grid.ts";
import type { Digest, RecipeKey } from "../model/ids.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { NodeType } from "../sdk.ts";
import { paramMeta } from "../grid/params.ts";

export { keyOf } from "../../cache/key.ts";

/** Outputs of a step by port, once they are known. */
export type OutputsOf = (step: number) => Readonly<Record<string, ArtifactRef>> | undefined;

/** A port of an upstream recipe, where a fingerprint has a digest. */
export type RecipePort = `${RecipeKey}.${string}`;

/**
 * The record of all that may change a step's outputs; undefined while an input that the step reads is not known.
 *
 * @param external the external files that the step's parameters make it read, where there are any
 */
export function fingerprintOf(
  step: Step,
  outputsOf: OutputsOf,
  external?: ExternalList,
): Fingerprint | undefined {
  const inputs = inputsOf<Digest>(step, (upstream, port) => {
    const outputs = outputsOf(upstream);
    return outputs && outputOf(outputs, port, step);
  });
  if (inputs === undefined) return undefined;
  return {
    type: step.nodeType.type,
    version: step.nodeType.version,
    params: fingerprintParams(step.nodeType, step.params),
    inputs,
    ...ownParts(step),
    ...(external && { external }),
    ...(!step.cache && { uncached: step.id }),
    ...(step.shard && { shard: step.shard }),
  };
}

/**
 * What a step is before anything ran: its upstream recipes in place of digests, and its paths in place of what lies
 * there. Steps of one plan with equal recipes do the same work.
 */
export function recipeOf(step: Step, upstream: (step: number) => RecipeKey): Recipe {
  const inputs = inputsOf<RecipePort>(step, (index, port) => `${upstream(index)}.${port}`);
  return {
    type: step.nodeType.type,
    version: step.nodeType.version,
    params: recipeParams(step.nodeType, step.params),
    inputs: inputs ?? {},
    ...ownParts(step),
    ...(step.shard && { shard: step.shard }),
  };
}

/** What a step brings along besides its parameters: the seed, the environment and the source, each where it is used. */
export function ownParts({
  nodeType,
  params,
  seed,
}: Step): Pick<Fingerprint, "seed" | "environment" | "source"> {
  const { environment, plugin, seeded } = nodeType;
  const isSeeded = typeof seeded === "function" ? seeded(params as never) : seeded;
  const variables = environment?.(params as never) ?? [];
  return {
    ...(isSeeded && { seed }),
    ...(variables.length > 0 && { environment: environmentOf(variables) }),
    ...(plugin && { source: plugin.source }),
  };
}

const hashedValues = new Map<string, Digest>();

/** Values are hashed, so that nothing which somebody keeps in a variable is written down. */
function environmentOf(variables: readonly string[]): Readonly<Record<string, Digest | null>> {
  return Object.fromEntries(
    variables.map((name) => {
      const value = process.env[name];
      if (value === undefined) return [name, null];
      const digest =
        hashedValues.get(value) ?? (`sha256:${taggedHash("ranflow/environment/1", value)}` as Digest);
      hashedValues.set(value, digest);
      return [name, digest];
    }),
  );
}

/** The hash of a recipe. */
export function recipeKeyOf(recipe: Recipe): RecipeKey {
  return taggedHash("ranflow/recipe/1", recipe as unknown as Json) as RecipeKey;
}

/** Steps whose outputs a step reads at its parameters, in ascending order, each once. */
export function upstreamOf(step: Step): readonly number[] {
  const upstream = new Set<number>();
  for (const name of step.reads) {
    const input = step.inputs[name];
    if (input?.kind === "one") upstream.add(input.step);
    else for (const item of input?.items ?? []) upstream.add(item.step);
  }
  return [...upstream].toSorted((a, b) => a - b);
}

/**
 * Whether the step's external files must be found and hashed before its key is known: its node type can look for
 * them, and a path parameter is set, or whatever else it asks for.
 */
export function needsScan(step: Step): boolean {
  if (step.nodeType.scan === undefined) return false;
  if (step.nodeType.scans) return step.nodeType.scans(step.params as never);
  for (const [name, meta] of paramMeta(step.nodeType)) {
    if (meta.path && (step.params[name] ?? null) !== null) return true;
  }
  return false;
}

/**
 * The parameters that enter the fingerprint: without ephemeral ones, secrets, those at their neutral value, and
 * paths, whose content enters through the scan. Where a node type has paths and no scan, nothing else would tell
 * two files apart, and the path itself stays.
 */
export function fingerprintParams(nodeType: NodeType, params: JsonObject): JsonObject {
  return keptParams(nodeType, params, nodeType.scan === undefined);
}

function recipeParams(nodeType: NodeType, params: JsonObject): JsonObject {
  return keptParams(nodeType, params, true);
}

function keptParams(nodeType: NodeType, params: JsonObject, keepPaths: boolean): JsonObject {
  const metas = paramMeta(nodeType);
  const kept: Record<string, Json> = {};
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined) continue;
    const meta = metas.get(name);
    if (meta?.ephemeral || meta?.secretEnv) continue;
    if (meta?.path && !keepPaths) continue;
    if (meta?.neutral !== undefined && canonicalJson(meta.neutral) === canonicalJson(value)) continue;
    kept[name] = value;
  }
  return kept;
}

/** The read inputs with what `name` gives for each port; undefined where it gives nothing for one of them. */
function inputsOf<D extends string>(
  step: Step,
  name: (upstream: number, port: string) => D | undefined,
): Record<string, FingerprintInput<D>> | undefined {
  const inputs: Record<string, FingerprintInput<D>> = {};
  for (const read of step.reads) {
    const input = step.inputs[read];
    if (input === undefined) continue;
    const value = inputOf(input, name);
    if (value === undefined) return undefined;
    inputs[read] = value;
  }
  return inputs;
}

function inputOf<D extends string>(
  input: StepInput,
  name: (upstream: number, port: string) => D | undefined,
): FingerprintInput<D> | undefined {
  if (input.kind === "one") return name(input.step, input.port);
  const items = [];
  for (const { step, port, at } of input.items) {
    const digest = name(step, port);
    if (digest === undefined) return undefined;
    items.push({ at, digest });
  }
  return items;
}

function outputOf(outputs: Readonly<Record<string, ArtifactRef>>, port: string, reader: Step): Digest {
  const artifact = outputs[port];
  if (artifact === undefined) {
    throw new Error(
      `internal error: ${reader.id} reads the port ${port}, which its upstream step does not have`,
    );
  }
  return artifact.digest;
}
