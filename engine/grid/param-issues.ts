import type { z } from "zod";
import type { SourceRange } from "../model/source.ts";
import { similar, suggest } from "../load/similar.ts";
import { describe, entryOf } from "../load/tree.ts";
import type { Tree } from "../load/tree.ts";
import { usedAt } from "./param-values.ts";
import type { ParamCheck } from "./params.ts";
import { describeType } from "./describe-type.ts";
import { unwrap } from "./schema.ts";
import type { Unwrapped } from "./schema.ts";

type Issue = z.core.$ZodIssue;

/** Reports what zod found wrong with a parameter, in the words of the pipeline and at the place it was written. */
export function reportIssue(issue: Issue, check: ParamCheck): void {
  const { nodeType, report } = check;
  const place = find(check.tree, issue.path);
  const name = issue.path.map(String).join(".");
  const of = `of ${nodeType.type}`;
  if (!place.tree) {
    const location = place.parent === check.tree ? check.at : place.parent.range;
    report.error("missing-param", `${nodeType.type} needs the parameter \`${name}\``, location, {
      hint: description(check, issue.path),
      related: usedAt(place.use),
    });
    return;
  }
  const { tree } = place;
  const extra = (
    hint: string | undefined,
  ): { hint: string | undefined; related: ReturnType<typeof usedAt> } => ({
    hint: hint ?? description(check, issue.path),
    related: usedAt(place.use),
  });
  const subject = name === "" ? nodeType.type : `parameter \`${name}\` ${of}`;
  switch (issue.code) {
    case "invalid_type": {
      const hint = issue.expected === "string" ? "put it in quotes to make it text" : undefined;
      report.error(
        "param-type",
        `${subject} is ${describe(tree)}, not ${kindName(issue.expected)}`,
        tree.range,
        extra(hint),
      );
      return;
    }
    case "invalid_union": {
      // An alternative of the right kind says more than that none of them fits.
      const near = issue.errors.filter(
        (issues) => !issues.some(({ code, path }) => code === "invalid_type" && path.length === 0),
      );
      const deeper = near.length === 1 ? (near[0] ?? []).filter(({ path }) => path.length > 0) : [];
      for (const inner of deeper) reportIssue({ ...inner, path: [...issue.path, ...inner.path] }, check);
      if (deeper.length > 0) return;
      const expected = schemaAt(nodeType.params, issue.path);
      const meant = tree.kind === "scalar" ? similar(tree.text, valuesIn(issue)) : undefined;
      const isEndless =
        tree.kind === "scalar" && typeof tree.value === "number" && !Number.isFinite(tree.value);
      report.error(
        "param-type",
        `${subject} is ${describe(tree)}${isEndless ? ", which is not finite" : ""}`,
        tree.range,
        extra(
          meant === undefined ? expected && `it is ${describeType(expected)}` : `did you mean \`${meant}\`?`,
        ),
      );
      return;
    }
    case "invalid_value": {
      const values = issue.values.map(String);
      const text = tree.kind === "scalar" ? tree.text : "";
      report.error(
        "param-value",
        `${subject} is ${describe(tree)}`,
        tree.range,
        extra(suggest(text, values, "its values are")),
      );
      return;
    }
    case "too_big":
    case "too_small":
      report.error(
        "param-value",
        `${subject} is ${describe(tree)}, ${bound(issue)}`,
        tree.range,
        extra(undefined),
      );
      return;
    case "unrecognized_keys":
      for (const key of issue.keys) {
        const entry = tree.kind === "map" ? entryOf(tree, key) : undefined;
        report.error(
          "unknown-param",
          `${nodeType.type} has no parameter \`${[...issue.path, key].map(String).join(".")}\``,
          entry?.keyRange ?? tree.range,
          {
            related: usedAt(place.use),
          },
        );
      }
      return;
    default:
      report.error(
        "param-value",
        `${subject}: ${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`,
        tree.range,
        extra(undefined),
      );
  }
}

interface Place {
  /** Undefined where nothing is written. */
  readonly tree: Tree | undefined;
  /** The innermost value on the way that is written. */
  readonly parent: Tree;
  readonly use: SourceRange | undefined;
}

function find(root: Tree, path: readonly PropertyKey[]): Place {
  let tree: Tree | undefined = root;
  let parent = root;
  let use = root.use;
  for (const key of path) {
    parent = tree;
    if (tree.kind === "map") tree = entryOf(tree, String(key))?.value;
    else tree = tree.kind === "list" ? tree.items[Number(key)] : undefined;
    if (!tree) return { tree, parent, use };
    use = tree.use ?? use;
  }
  return { tree, parent, use };
}

function kindName(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    number: "a number",
    int: "a whole number",
    string: "text",
    boolean: "true or false",
    array: "a list",
    tuple: "a list",
    object: "a map",
    record: "a map",
  };
  return names[expected] ?? expected;
}

function bound(issue: z.core.$ZodIssueTooBig | z.core.$ZodIssueTooSmall): string {
  const limit = issue.code === "too_big" ? issue.maximum : issue.minimum;
  const counted: Readonly<Record<string, string>> = {
    string: " characters",
    array: " items",
    set: " items",
    map: " entries",
  };
  const unit = counted[issue.origin] ?? "";
  const side =
    issue.code === "too_big"
      ? issue.inclusive
        ? "at most"
        : "less than"
      : issue.inclusive
        ? "at least"
        : "more than";
  return `but it must be ${side} ${limit}${unit}`;
}

function description(check: ParamCheck, path: readonly PropertyKey[]): string | undefined {
  const [name] = path;
  const schema =
    typeof name === "string" && Object.hasOwn(check.nodeType.params.shape, name)
      ? check.nodeType.params.shape[name]
      : undefined;
  const meta = schema && unwrap(schema).meta;
  if (meta?.description === undefined) return undefined;
  return `\`${String(name)}\`: ${meta.description}${meta.unit === undefined ? "" : ` (${meta.unit})`}`;
}

/** The schema of the parameter at a path of keys; undefined where an alternative lies on the path. */
function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType | undefined {
  let at: z.ZodType | undefined = schema;
  for (const key of path) {
    if (!at) return undefined;
    const { element, shape, valueType }: Unwrapped["definition"] = unwrap(at).definition;
    at = shape?.[String(key)] ?? valueType ?? element;
  }
  return at;
}

/** The values that alternatives name. */
function valuesIn({ errors }: z.core.$ZodIssueInvalidUnion): readonly string[] {
  return errors
    .flat()
    .flatMap((issue) =>
      issue.code === "invalid_value" && issue.path.length === 0 ? issue.values.map(String) : [],
    );
}
