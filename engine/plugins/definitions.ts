import { anyType, portTypes } from "../sdk.ts";
import type { NodeType } from "../sdk.ts";

/** A node type that a module exports, and the name it exports it by. */
export interface Exported {
  readonly name: string;
  readonly definition: NodeType;
  /** What is wrong with it, each in a sentence; empty where it can be used. */
  readonly problems: readonly string[];
}

/** The node types that a module exports: one by one, or in lists, maps and records. Other exports are let be. */
export function exportedTypes(module: Readonly<Record<string, unknown>>): readonly Exported[] {
  const found = new Map<unknown, Exported>();
  const visit = (name: string, value: unknown, depth: number): void => {
    if (typeof value !== "object" || value === null || found.has(value) || depth > 2) return;
    if (isMeantAsType(value)) {
      found.set(value, { name, definition: value as NodeType, problems: problemsOf(value) });
    } else if (Array.isArray(value)) value.forEach((item, i) => visit(`${name}[${i}]`, item, depth + 1));
    else if (value instanceof Map)
      for (const [key, item] of value) visit(`${name}.${String(key)}`, item, depth + 1);
    else if (isPlain(value))
      for (const [key, item] of Object.entries(value)) visit(`${name}.${key}`, item, depth + 1);
  };
  for (const [name, value] of Object.entries(module)) visit(name, value, 0);
  return [...found.values()];
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const mainFields = ["type", "version", "params", "inputs", "outputs", "run"];

/** Other records may well have a `type` or a function `run`; three of these fields mean a node type. */
function isMeantAsType(value: object): boolean {
  return mainFields.filter((field) => Object.hasOwn(value, field)).length >= 3;
}

const optionalFunctions = ["reads", "check", "checkInputs", "scan", "scans", "environment"];

function problemsOf(definition: object): readonly string[] {
  const fields = definition as Readonly<Record<string, unknown>>;
  const { itemwise = false, params, ports, run, seeded = false, summary, type, version } = fields;
  const problems: string[] = [];
  const wrong = (problem: string | false): void => void (problem !== false && problems.push(problem));
  wrong(
    !(typeof type === "string" && /^[A-Za-z][\w-]*(\.[\w-]+)*$/.test(type)) &&
      "its `type` is no name such as `lab.spectrum`",
  );
  wrong(
    !(Number.isSafeInteger(version) && Number(version) >= 1) && "its `version` is no whole number from 1",
  );
  wrong(
    !(typeof summary === "string" && summary !== "") && "it has no `summary`, a sentence on what it does",
  );
  wrong(
    !isZodObject(params) && "its `params` are no `z.object({ ... })` of zod 4, as `ranflow/sdk` exports it",
  );
  wrong(typeof run !== "function" && "it has no function `run`");
  for (const name of optionalFunctions) {
    wrong(
      fields[name] !== undefined && typeof fields[name] !== "function" && `its \`${name}\` is no function`,
    );
  }
  wrong(
    !["boolean", "function"].includes(typeof seeded) &&
      "its `seeded` is neither true nor false nor a function",
  );
  wrong(typeof itemwise !== "boolean" && "its `itemwise` is neither true nor false");
  wrong(ports !== undefined && !isPorts(ports) && "its `ports` are no `{ from: [...], derive: ... }`");
  for (const side of ["inputs", "outputs"] as const) {
    const ports = fields[side];
    if (typeof ports === "object" && ports !== null && isPlain(ports)) {
      for (const [name, port] of Object.entries(ports)) wrong(portProblem(side, name, port) ?? false);
    } else wrong(`its \`${side}\` are no record of ports: \`${side}: { name: port("text") }\``);
  }
  return problems;
}

function isPorts(ports: unknown): boolean {
  if (typeof ports !== "object" || ports === null) return false;
  const { derive, from } = ports as Readonly<Record<string, unknown>>;
  return Array.isArray(from) && typeof derive === "function";
}

function isZodObject(schema: unknown): boolean {
  const internals = (schema as { readonly _zod?: { readonly def?: { readonly type?: unknown } } } | undefined)
    ?._zod;
  return internals?.def?.type === "object";
}

function portProblem(side: "inputs" | "outputs", name: string, port: unknown): string | undefined {
  const subject = `the port \`${name}\` of its \`${side}\``;
  if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(name)) {
    return `${subject} cannot be called so: a name is a letter, then letters, digits, \`_\` and \`-\``;
  }
  const { kind, type } = (typeof port === "object" && port !== null ? port : {}) as Readonly<
    Record<string, unknown>
  >;
  if (typeof type !== "string") return `${subject} is no port: write \`port("text")\``;
  if (type === anyType) {
    return side === "inputs" ? undefined : `${subject} is \`any\`, which only inputs can be`;
  }
  if (Object.hasOwn(portTypes, type)) return undefined;
  if (!type.includes(".")) {
    const known = Object.keys(portTypes).join(", ");
    return `${subject} has the unknown type \`${type}\`: there are ${known}, and types of your own have a dot, \`lab.${type}\``;
  }
  if (kind === "file" || kind === "folder") return undefined;
  return `${subject} has a type of your own, \`${type}\`, and does not say its kind: \`port("${type}", { kind: "file" })\``;
}
