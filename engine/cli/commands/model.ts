import type { Command } from "commander";
import type { CheckpointReport, NamedTensor } from "../../../nodes/checkpoints/inspect.ts";
import { fail } from "../exit.ts";

interface InspectOptions {
  readonly json?: boolean;
  readonly all?: boolean;
  readonly verify?: boolean;
}

/** Registers `ranflow model inspect PATH`: what a checkpoint is. */
export function register(program: Command): void {
  const model = program.command("model").description("look into checkpoints");
  model
    .command("inspect")
    .summary("say what a checkpoint is: container, tensors, architecture, problems")
    .description(
      "Says what a checkpoint is: its container (told by content), types, tensors, parameters, the model whose names " +
        "it has, wrappers and prefixes, and what is wrong with it. Reads safetensors and files of torch.save; runs nothing.",
    )
    .argument(
      "<path>",
      "a .safetensors, .pt, .pth or .bin file, or a folder (Hugging Face, PMC-CLIP's split files)",
    )
    .option("--all", "list every tensor; otherwise those of repeated layers share a line")
    .option("--verify", "also read all values: checksums, and numbers that are not finite")
    .option("--json", "print JSON")
    .action(async (path: string, { json, all, verify }: InspectOptions) => {
      const report = await inspect(path, verify ?? false);
      console.log(
        json ? JSON.stringify(report, undefined, 2) : (await describe(report, all ?? false)).join("\n"),
      );
    });
}

async function inspect(path: string, verify: boolean): Promise<CheckpointReport> {
  const { inspectCheckpoint } = await import("../../../nodes/checkpoints/inspect.ts");
  const { NodeError } = await import("../../sdk.ts");
  try {
    return await inspectCheckpoint(path, { verify });
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    return fail(error.hint ? `${error.message}\n  ${error.hint}` : error.message);
  }
}

async function describe(report: CheckpointReport, all: boolean): Promise<string[]> {
  const { formatBytes, formatCount } = await import("../../report/format.ts");
  const line = (name: string, text: string): string => `  ${name.padEnd(13)} ${text}`;
  const { dtypes, files, model, prefix, problems, tensors } = report;
  const types = Object.entries(dtypes).map(([dtype, count]) => `${dtype} ${count}`);
  return [
    report.path,
    ...files.map(({ file, container, bytes, wrapper, beside }) => {
      const inside = wrapper.length > 0 ? `, in ${wrapper.join(".")}` : "";
      const others = beside.length > 0 ? `, beside ${beside.join(", ")}` : "";
      return line("file", `${file}: ${container}, ${formatBytes(bytes)}${inside}${others}`);
    }),
    line("tensors", `${formatCount(tensors.length)} (${types.join(", ") || "none"})`),
    line("parameters", formatCount(report.parameters)),
    line("model", model?.format ?? "not recognised"),
    ...(model?.architecture ? architectureLines(model.architecture).map((text) => line("", text)) : []),
    ...(prefix ? [line("prefix", `${prefix} before every name`)] : []),
    line("same folder", report.beside.join(", ") || "no configuration, no vocabulary"),
    ...(problems.length > 0
      ? problems.map((problem) => line("problem", problem))
      : [line("problems", "none")]),
    "tensors",
    ...tensorLines(tensors, all),
  ];
}

/** `embed_dim 512, quick_gelu false` and a line for each tower. */
function architectureLines(architecture: object): string[] {
  const entries = Object.entries(architecture);
  const flat = (fields: readonly (readonly [string, unknown])[]): string =>
    fields.map(([name, value]) => `${name} ${String(value)}`).join(", ");
  return [
    flat(entries.filter(([, value]) => typeof value !== "object")),
    ...entries
      .filter(([, value]) => typeof value === "object" && value !== null)
      .map(([name, value]) => `${name}: ${flat(Object.entries(value as object))}`),
  ];
}

/** One line a tensor; without `all`, layers that repeat share one, `resblocks.*.ln_1.weight`. */
function tensorLines(tensors: readonly NamedTensor[], all: boolean): string[] {
  const rows = new Map<string, { name: string; rest: string; count: number }>();
  for (const { name, dtype, shape } of tensors) {
    const shown = all ? name : name.replace(/(?<=\.)\d+(?=\.)/g, "*");
    const rest = `${dtype.padEnd(5)} [${shape.join(", ")}]`;
    const row = rows.get(`${shown} ${rest}`) ?? { name: shown, rest, count: 0 };
    row.count += 1;
    rows.set(`${shown} ${rest}`, row);
  }
  const width = Math.min(80, Math.max(0, ...[...rows.values()].map(({ name }) => name.length)));
  return [...rows.values()].map(
    ({ name, rest, count }) => `  ${name.padEnd(width)}  ${rest}${count > 1 ? `  x ${count}` : ""}`,
  );
}
