import type { Json, JsonObject } from "../model/json.ts";
import { executorNames } from "../model/slurm.ts";
import { portSummary } from "../sdk.ts";
import type { NodeType, Port } from "../sdk.ts";
import { paramsSchema } from "./params-schema.ts";
import { nodeReference } from "./reference.ts";
import { bindingSchema, described, interpolated, labelSchema, orInterpolated, textOr } from "./parts.ts";

/**
 * The JSON Schema of a pipeline, for YAML editors that complete and check as the researcher types. Draft 7: what
 * yaml-language-server understands best. Where a value may be interpolated it is more lenient than loading.
 */
export function pipelineJsonSchema(types: readonly NodeType[]): JsonObject {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "ranflow pipeline",
    type: "object",
    additionalProperties: false,
    properties: {
      name: described(
        { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$" },
        "Name of the pipeline; results are remembered under it.",
      ),
      description: described({ type: "string" }, "What the pipeline is for."),
      seed: described(
        orInterpolated({ type: "integer", minimum: 0, default: 0 }),
        "Seed of every node that has no seed of its own.",
      ),
      inputs: described(
        { type: "object" },
        "Values to be mentioned as `$(inputs.name)` and changed with `--set inputs.name=value`.",
      ),
      executor: described(executorSchema, "Where steps run, unless a node says otherwise."),
      slurm: described(slurmSchema, "What steps ask of Slurm, unless a node says otherwise."),
      imports: described(
        importsSchema,
        "Fragments to merge into this pipeline, in a list, and whole pipelines, each under a name.",
      ),
      plugins: described(
        { type: "array", items: { type: "string" } },
        "Files of node types of your own, from the folder of this file: `.ts`, `.mts`, `.js` or `.mjs`.",
      ),
      profiles: described(
        { type: "object", additionalProperties: profileSchema },
        "Other values for inputs, axes and the seed, chosen with `--profile name`.",
      ),
      axes: described(
        axesSchema,
        "Named lists of values. A node that mentions `$(axis)` is expanded over it, and so is what reads the node.",
      ),
      grid: described(
        {
          type: "object",
          additionalProperties: false,
          properties: {
            zip: described(
              { type: "array", items: { type: "array", minItems: 2, items: { type: "string" } } },
              "Lists of axes that advance together instead of making a product.",
            ),
            exclude: described(pointsSchema, "Parts of the grid to leave out, in every node."),
            include: described(
              pointsSchema,
              "Parts of the grid to add again, with values that a list axis does not have elsewhere.",
            ),
          },
        },
        "The shape of the whole grid: axes and zips make the product, `exclude` takes away, `include` adds.",
      ),
      nodes: described(
        {
          type: "object",
          minProperties: 1,
          propertyNames: { pattern: namePattern },
          additionalProperties: { $ref: "#/definitions/node" },
        },
        "The nodes by name.",
      ),
    },
    definitions: {
      node: nodeSchema(types),
      ...Object.fromEntries(types.map((nodeType) => [nodeType.type, typeSchema(nodeType)])),
    },
  };
}

const namePattern = "^[A-Za-z][A-Za-z0-9_-]*$";

const axisSchema: JsonObject = {
  anyOf: [
    { type: "array", minItems: 1, items: labelSchema },
    { type: "object", minProperties: 1, propertyNames: { pattern: "^[A-Za-z0-9._+%-]+$" } },
    interpolated,
  ],
};

const axesSchema: JsonObject = {
  type: "object",
  propertyNames: { pattern: namePattern },
  additionalProperties: axisSchema,
};

const durationPattern = "^(\\s*\\d+(\\.\\d+)?\\s*(ms|[smhd]))+\\s*$";

const executorSchema: JsonObject = orInterpolated({ enum: [...executorNames], default: "local" });

const slurmSchema: JsonObject = orInterpolated({
  type: "object",
  additionalProperties: false,
  properties: {
    partition: described({ type: "string" }, "The partition; the cluster's default unless told."),
    account: described({ type: "string" }, "The account that is charged."),
    time: described(textOr(durationPattern), "Longest time for one submission of a step, such as `12h`."),
    gres: described(
      { type: "string" },
      "Generic resources such as `gpu:a40:1`, in place of what `resources: { gpu: ... }` asks for.",
    ),
    constraint: described({ type: "string" }, "Features that the node must have."),
    options: described(
      { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
      "Further options of `sbatch`, one text each, such as `--qos=long`.",
    ),
  },
});

const profileSchema: JsonObject = {
  type: ["object", "null"],
  additionalProperties: false,
  properties: {
    inputs: described({ type: "object" }, "Values that replace those of inputs."),
    axes: described(axesSchema, "Axes that replace those of the same name."),
    seed: described(orInterpolated({ type: "integer", minimum: 0 }), "Seed in place of the pipeline's."),
    executor: described(executorSchema, "Where steps run, in place of what the pipeline says."),
    slurm: described(slurmSchema, "What steps ask of Slurm, in place of what the pipeline says."),
  },
};

const namespacesSchema: JsonObject = {
  type: "object",
  propertyNames: { pattern: namePattern },
  additionalProperties: {
    anyOf: [
      { type: "string" },
      {
        type: "object",
        required: ["file"],
        additionalProperties: false,
        properties: {
          file: described({ type: "string" }, "The pipeline's file, from the folder of this one."),
          inputs: described(
            orInterpolated({ type: "object" }),
            "Values for its inputs; they may mention the inputs here.",
          ),
        },
      },
    ],
  },
};

const importsSchema: JsonObject = {
  anyOf: [namespacesSchema, { type: "array", items: { anyOf: [{ type: "string" }, namespacesSchema] } }],
};

const pointsSchema: JsonObject = {
  type: "array",
  items: {
    type: "object",
    minProperties: 1,
    additionalProperties: { anyOf: [labelSchema, { type: "array", items: labelSchema }] },
  },
};

function nodeSchema(types: readonly NodeType[]): JsonObject {
  return {
    type: "object",
    required: ["type"],
    additionalProperties: false,
    properties: {
      type: described(
        {
          anyOf: [...types.map(({ summary, type }) => ({ const: type, description: summary })), interpolated],
        },
        "The node type.",
      ),
      description: described({ type: "string" }, "What the node is for."),
      in: described({ type: "object" }, "What each input is bound to."),
      with: described(
        {},
        "Parameters: a map, `$(axis)` of a map-valued axis, or a list of these that is merged left to right.",
      ),
      only: described(orInterpolated(pointsSchema), "Keeps only these parts of the node's grid."),
      except: described(orInterpolated(pointsSchema), "Leaves out these parts of the node's grid."),
      optional: described(
        orInterpolated({ type: "boolean", default: false }),
        "`true` leaves the node out where no other node reads it.",
      ),
      resources: described(resourcesSchema, "What a step may use while it runs."),
      retries: described(
        orInterpolated({ type: "integer", minimum: 0, maximum: 100, default: 0 }),
        "Further attempts after a failure.",
      ),
      timeout: described(textOr(durationPattern), "Longest time for one attempt, such as `90s` or `1h30m`."),
      executor: described(executorSchema, "Where its steps run, in place of what the pipeline says."),
      slurm: described(slurmSchema, "What its steps ask of Slurm; fields it leaves out are the pipeline's."),
      seed: described(orInterpolated({ type: "integer", minimum: 0 }), "Seed in place of the pipeline's."),
      cache: described(
        orInterpolated({ type: "boolean", default: true }),
        "`false` runs the steps every time.",
      ),
      shards: described(
        orInterpolated({ type: "integer", minimum: 1, maximum: 1000, default: 1 }),
        "Steps that share the items of a step between them, where the node type makes each item by itself.",
      ),
    },
    allOf: types.map(({ type }) => ({
      if: { required: ["type"], properties: { type: { const: type } } },
      then: { $ref: `#/definitions/${type}` },
    })),
  };
}

const resourcesSchema: JsonObject = {
  type: "object",
  properties: {
    cpu: described(orInterpolated({ type: "number", minimum: 0 }), "Cores."),
    memory: described(textOr("^\\d+(\\.\\d+)?\\s*[KMGT](iB|B)?$"), "Memory with its unit, such as `4G`."),
    gpu: described(orInterpolated({ type: "integer", minimum: 0 }), "Graphics processors."),
  },
  additionalProperties: orInterpolated({ type: "number", minimum: 0 }),
};

function typeSchema(nodeType: NodeType): JsonObject {
  const { required, ...partial } = paramsSchema(nodeType);
  const whole = { ...partial, ...(required && { required }), markdownDescription: nodeReference(nodeType) };
  const inputs = Object.entries(nodeType.inputs).map(([name, port]): [string, Json] => [
    name,
    inputSchema(port),
  ]);
  return {
    properties: {
      // A node that decides its own inputs may have any.
      in: {
        type: "object",
        additionalProperties: nodeType.ports ? bindingSchema({ type: "any", many: true }) : false,
        properties: Object.fromEntries(inputs),
      },
      // In a list each map brings some of the parameters, so that none has to have all of them.
      with: {
        anyOf: [
          whole,
          { type: "null" },
          interpolated,
          { type: "array", items: { anyOf: [partial, interpolated] } },
        ],
      },
    },
    ...(required && { required: ["with"] }),
  };
}

function inputSchema(port: Port): JsonObject {
  const about = `${port.type}${port.optional ? ", optional" : ""}: ${portSummary(port)}`;
  return described(bindingSchema(port), about);
}
