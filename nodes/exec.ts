import { z } from "zod";
import { anyType, defineNode, namesInTemplate, port, portTypes } from "../engine/sdk.ts";
import type { Port } from "../engine/sdk.ts";
import { filesProblem } from "./exec/file-names.ts";

const name = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]*$/, "a name is a letter, then letters, digits, `_` and `-`");
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "it is the name of an environment variable");
const portNames = Object.keys(portTypes) as [keyof typeof portTypes, ...(keyof typeof portTypes)[]];

const outputType = z.union([
  z.enum(portNames),
  z.strictObject({
    type: z.string().regex(/^[A-Za-z][\w-]*(\.[\w-]+)+$/, "the name of a type of your own has a dot"),
    kind: z.enum(["file", "folder"]),
  }),
]);

export const execParams = z.object({
  command: z
    .array(z.string())
    .min(1)
    .meta({
      template: true,
      description:
        "the program and its arguments, one item each; no shell reads them. `$(in.NAME)` and `$(out.NAME)` are paths, " +
        "`$(scratch)` an empty folder, `$(seed)` the step's seed",
    }),
  outputs: z
    .record(name, outputType)
    .refine((outputs) => Object.keys(outputs).length > 0, "there is at least one output")
    .meta({
      description:
        "what the program writes: the port type of each output. A type of your own is `{ type: lab.spectrum, kind: file }`",
    }),
  files: z.array(z.string().min(1)).default([]).meta({
    description:
      "scripts and folders of scripts whose content belongs to the key: copies of them are the working directory",
  }),
  folder: z.string().default(".").meta({ path: true, description: "the folder that `files` start from" }),
  stdout: name.optional().meta({ description: "the output, a file, that gets what the program prints" }),
  env: z.array(variable).default([]).meta({
    description: "environment variables to pass on; their values belong to the key, hashed",
  }),
  ambient: z.array(variable).default([]).meta({
    ephemeral: true,
    description: "environment variables to pass on that cannot change results, such as CUDA_HOME",
  }),
  secrets: z.array(variable).default([]).meta({
    secretEnv: true,
    description:
      "environment variables to pass on that are secret: hidden in logs and messages, and refused in outputs",
  }),
  version: z.union([z.string(), z.number()]).optional().meta({
    description: "anything; another value runs the step again, for instance after an update of the program",
  }),
  graceSeconds: z.number().min(0).max(3600).default(10).meta({
    ephemeral: true,
    unit: "s",
    description: "how long the program may take to end after SIGTERM before it is killed",
  }),
});

/** The parameters of an `exec` node. */
export type ExecParams = z.output<typeof execParams>;

export const exec = defineNode({
  type: "exec",
  version: 1,
  summary: "Runs a program of your own, in any language",
  details: [
    "A node of this type has the inputs that it binds, of any type, and the outputs that it declares. `$(in.NAME)` is the",
    "path of a file or folder to read; an input that is bound to a list or a `collect` is a folder with `index.json`,",
    "a list of `{ at: coordinates, path }`. Records that name an image by content come with its `path`. `$(out.NAME)` is the path to",
    "write to: a file, or a folder that is there and empty. Outputs count only when the program ends with code 0 and all of them",
    "are there.",
    "",
    "The program runs in a private folder that holds copies of `files`, with an environment of PATH, HOME, USER, LANG=C.UTF-8, TZ=UTC,",
    "TMPDIR, CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS, PYTHONUNBUFFERED=1 and what `env`, `ambient` and `secrets` name. Its output",
    'is the step\'s log; a line `{"ranflow": {"done": 3, "total": 10, "loss": 0.5}}` is progress. When the step is stopped, the program',
    "and what it started get SIGTERM, and SIGKILL later.",
    "",
    "The key holds the command, the names and content of `files`, the inputs, the values of `env`, and the seed where `$(seed)` is",
    "mentioned; not the program itself, nor files that it finds on its own.",
  ].join("\n"),
  inputs: {},
  outputs: {},
  ports: {
    from: ["outputs"],
    derive: ({ inputs, params }) => ({
      inputs: Object.fromEntries(
        Object.entries(inputs).map(([input, { many }]): [string, Port] => [input, port(anyType, { many })]),
      ),
      outputs: Object.fromEntries(
        Object.entries(params["outputs"] as ExecParams["outputs"]).map(([output, type]): [string, Port] => [
          output,
          outputPort(type),
        ]),
      ),
    }),
  },
  params: execParams,
  check: (params) => filesProblem(params.files) ?? outputsProblem(params) ?? variablesProblem(params),
  seeded: ({ command }) => command.some((text) => namesInTemplate(text).includes("seed")),
  environment: ({ env }) => env,
  scans: ({ files }) => files.length > 0,
  copiesExternal: () => true,
  async scan(context) {
    const { scanFiles } = await import("./exec/scan-files.ts");
    return scanFiles(context);
  },
  growth: { kind: ({ command }) => JSON.stringify(command) },
  async run(context) {
    const { runExec } = await import("./exec/run.ts");
    await runExec(context);
  },
});

/** The port of a declared output. */
export function outputPort(type: ExecParams["outputs"][string]): Port {
  return typeof type === "string"
    ? port(type)
    : { type: type.type as `${string}.${string}`, kind: type.kind };
}

/** An output that the program cannot know the place of is a mistake, whatever the program does. */
function outputsProblem({ command, outputs, stdout }: ExecParams): string | undefined {
  if (stdout !== undefined) {
    const type = Object.hasOwn(outputs, stdout) ? outputs[stdout] : undefined;
    if (type === undefined)
      return `\`stdout\` is \`${stdout}\`, which is no output; declare it under \`outputs\``;
    const { kind = portTypes[type as keyof typeof portTypes]?.kind } = outputPort(type);
    if (kind === "folder") return `\`stdout\` is the output \`${stdout}\`, which is a folder`;
  }
  const mentioned = new Set(command.flatMap(namesInTemplate));
  const lost = Object.keys(outputs).find((output) => output !== stdout && !mentioned.has(`out.${output}`));
  if (lost === undefined) return undefined;
  return `the program cannot know where to write its output \`${lost}\`: mention \`$(out.${lost})\` in \`command\`, or say \`stdout: ${lost}\``;
}

function variablesProblem({ ambient, env, secrets }: ExecParams): string | undefined {
  const all = [...env, ...ambient, ...secrets];
  const twice = all.find((each, i) => all.indexOf(each) !== i);
  return twice === undefined ? undefined : `the environment variable ${twice} is named twice`;
}
