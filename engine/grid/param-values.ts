import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import type { z } from "zod";
import type { Json, JsonObject } from "../model/json.ts";
import type { SourceRange } from "../model/source.ts";
import { escapeTemplate } from "../model/template.ts";
import type { ParamMeta } from "../sdk.ts";
import { createReport } from "../load/report.ts";
import type { Report } from "../load/report.ts";
import { suggest } from "../load/similar.ts";
import { describe, quote, toJson } from "../load/tree.ts";
import type { MapTree, ScalarTree, Tree } from "../load/tree.ts";
import type { ParamCheck } from "./params.ts";
import { parseQuantity } from "./quantity.ts";
import { unwrap } from "./schema.ts";

/** Parameters as plain values, ready for the schema. */
export interface PreparedParams {
  readonly value: JsonObject;
  /** True where a value at or below this path is reported already. */
  failed(path: readonly PropertyKey[]): boolean;
}

/**
 * Turns parameters into plain values by what the schema expects in each place: quantities become numbers, paths
 * absolute. Unknown parameters and unreadable quantities are reported.
 */
export function prepareParams(check: ParamCheck): PreparedParams {
  const failures: string[] = [];
  const walk = new Walk(check, check.report, (path) => failures.push(pathKey(path)));
  const value = walk.object(check.tree, check.nodeType.params, {}, [], check.tree.use);
  return {
    value,
    failed: (path) => failures.some((key) => key === pathKey(path) || key.startsWith(`${pathKey(path)}\0`)),
  };
}

const pathKey = (path: readonly PropertyKey[]): string => path.map(String).join("\0");

type Path = readonly PropertyKey[];
type Use = SourceRange | undefined;

class Walk {
  readonly #check: ParamCheck;
  readonly #report: Report;
  readonly #fail: (path: Path) => void;

  constructor(check: ParamCheck, report: Report, fail: (path: Path) => void) {
    this.#check = check;
    this.#report = report;
    this.#fail = fail;
  }

  object(tree: MapTree, schema: z.ZodType, inherited: ParamMeta, path: Path, use: Use): JsonObject {
    const { definition } = unwrap(schema);
    const shape = definition.shape ?? {};
    const entries: [string, Json][] = [];
    for (const { key, keyRange, value } of tree.entries) {
      const known = Object.hasOwn(shape, key) ? shape[key] : definition.catchall;
      if (known) {
        entries.push([key, this.value(value, known, inherited, [...path, key], value.use ?? use)]);
        continue;
      }
      this.#fail([...path, key]);
      const within = path.length > 0 ? ` in \`${path.map(String).join(".")}\`` : "";
      this.#report.error(
        "unknown-param",
        `${this.#check.nodeType.type} has no parameter \`${key}\`${within}`,
        keyRange,
        {
          hint: suggest(key, Object.keys(shape), "its parameters are") ?? "it has none",
          related: usedAt(use),
        },
      );
    }
    for (const [key, field] of Object.entries(path.length === 0 ? shape : {})) {
      if (!unwrap(field).meta.path || tree.entries.some((entry) => entry.key === key)) continue;
      const { data } = field.safeParse(undefined);
      if (typeof data === "string")
        entries.push([key, resolve(this.#check.baseOf(this.#check.at.file), data)]);
    }
    return Object.fromEntries(entries);
  }

  value(tree: Tree, schema: z.ZodType, inherited: ParamMeta, path: Path, use: Use): Json {
    const { definition, meta: own } = unwrap(schema);
    // A list's unit and kind hold for its items.
    const meta: ParamMeta = { ...pick(inherited), ...own };
    const child = (value: Tree, inner: z.ZodType | null | undefined, key: PropertyKey): Json =>
      inner ? this.value(value, inner, meta, [...path, key], value.use ?? use) : toJson(value);
    switch (definition.type) {
      case "number":
        return tree.kind === "scalar" ? this.#number(tree, meta, path, use) : toJson(tree);
      case "string":
        if (tree.kind === "scalar" && meta.template) return templateText(tree);
        return tree.kind === "scalar" && meta.path ? this.#path(tree, path, use) : toJson(tree);
      case "object":
        return tree.kind === "map" ? this.object(tree, schema, pick(meta), path, use) : toJson(tree);
      case "record":
        if (tree.kind !== "map") return toJson(tree);
        return Object.fromEntries(
          tree.entries.map(({ key, value }) => [key, child(value, definition.valueType, key)]),
        );
      case "array":
        return tree.kind === "list"
          ? tree.items.map((item, i) => child(item, definition.element, i))
          : toJson(tree);
      case "tuple":
        if (tree.kind !== "list") return toJson(tree);
        return tree.items.map((item, i) => child(item, definition.items?.[i] ?? definition.rest, i));
      case "union":
        return this.#union(tree, definition.options ?? [], meta, path, use);
      default:
        return toJson(tree);
    }
  }

  /** The value as the first alternative that accepts it reads it. */
  #union(tree: Tree, options: readonly z.ZodType[], meta: ParamMeta, path: Path, use: Use): Json {
    for (const option of options) {
      const report = createReport();
      const value = new Walk(this.#check, report, () => {}).value(tree, option, meta, path, use);
      if (report.errors() === 0 && option.safeParse(value).success) return value;
    }
    return toJson(tree);
  }

  #number(tree: ScalarTree, meta: ParamMeta, path: Path, use: Use): Json {
    if (typeof tree.value === "number" && !Number.isFinite(tree.value)) {
      this.#wrong(tree, path, "is not finite", undefined, use);
    }
    if (typeof tree.value !== "string") return tree.value;
    const quantity = parseQuantity(tree.value, meta.unit);
    if (quantity.kind === "number") return quantity.value;
    if (quantity.kind === "wrong-unit") this.#wrong(tree, path, quantity.message, quantity.hint, use);
    return tree.value;
  }

  #wrong(tree: ScalarTree, path: Path, problem: string, hint: string | undefined, use: Use): void {
    this.#fail(path);
    const message = `parameter \`${path.map(String).join(".")}\` of ${this.#check.nodeType.type} is ${describe(tree)}, which ${problem}`;
    this.#report.error("param-type", message, tree.range, { hint, related: usedAt(use) });
  }

  #path(tree: ScalarTree, path: Path, use: Use): Json {
    if (typeof tree.value !== "string") return tree.value;
    if (tree.value === "" || tree.value.includes("\0")) {
      this.#fail(path);
      const message = `parameter \`${path.map(String).join(".")}\` of ${this.#check.nodeType.type} is ${quote(tree.value)}, which is no path`;
      this.#report.error("param-value", message, tree.range, { related: usedAt(use) });
      return tree.value;
    }
    if (tree.value.startsWith("~/")) return join(homedir(), tree.value.slice(2));
    if (isAbsolute(tree.value)) return resolve(tree.value);
    return resolve(this.#check.baseOf(tree.origin ?? tree.range.file), tree.value);
  }
}

function pick({ path, template, unit }: ParamMeta): ParamMeta {
  return {
    ...(unit !== undefined && { unit }),
    ...(path !== undefined && { path }),
    ...(template !== undefined && { template }),
  };
}

/** Text that the step fills in; what does not come from the node itself stands for itself. */
function templateText({ isTemplate, text, value }: ScalarTree): Json {
  if (value === null) return null;
  const written = typeof value === "string" ? value : text;
  return isTemplate ? written : escapeTemplate(written);
}

/** The place where interpolation uses a value that was written elsewhere, as a related place. */
export function usedAt(
  use: SourceRange | undefined,
): readonly { message: string; location: SourceRange }[] | undefined {
  return use && [{ message: "used here", location: use }];
}
