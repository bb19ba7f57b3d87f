import type { Command } from "commander";
import type { NodeLibrary, NodeType } from "../../sdk.ts";
import { everyType } from "../../model/node-library.ts";
import { pipelineLibrary, pipelineOption } from "../context.ts";
import { fail } from "../exit.ts";

interface NodesOptions {
  readonly pipeline?: string;
  readonly json?: boolean;
}

/** `ranflow nodes [TYPE] [--pipeline FILE] [--json]`: the reference of the node types. */
export function register(program: Command, library: () => Promise<NodeLibrary>): void {
  program
    .command("nodes")
    .summary("list the node types, or describe one: ports, parameters, defaults")
    .description("Lists the node types. With TYPE, describes its ports and parameters, from their schemas.")
    .argument("[type]", "a node type such as `noise.mix`, or `all` for the whole reference")
    .option(...pipelineOption)
    .option("--json", "print JSON")
    .action(async (type: string | undefined, { json, pipeline }: NodesOptions) => {
      const all = pipeline === undefined ? await library() : await pipelineLibrary(pipeline);
      const { nodeIndex, nodeReference } = await import("../../schema/reference.ts");
      if (json) {
        const { describeParams } = await import("../../schema/describe-params.ts");
        const describe = (nodeType: NodeType): object => {
          const { details, inputs, outputs, plugin, seeded = false, summary, type, version } = nodeType;
          const params = describeParams(nodeType);
          const own = plugin && { plugin: plugin.path };
          return { type, version, summary, details, seeded, inputs, outputs, params, ...own };
        };
        const chosen =
          type === undefined || type === "all"
            ? (await everyType(all)).map(describe)
            : describe(await find(all, type, pipeline));
        console.log(JSON.stringify(chosen, undefined, 2));
      } else if (type === "all") console.log((await everyType(all)).map(nodeReference).join("\n\n"));
      else if (type !== undefined) console.log(nodeReference(await find(all, type, pipeline)));
      else console.log(nodeIndex(await everyType(all)));
    });
}

async function find(library: NodeLibrary, type: string, pipeline: string | undefined): Promise<NodeType> {
  const found = await library.get(type);
  if (found) return found;
  const { suggest } = await import("../../load/similar.ts");
  const hint = suggest(type, library.names, "the node types are");
  const known =
    pipeline === undefined ? "\n  those of a pipeline's plugins are known with --pipeline FILE" : "";
  return fail(`there is no node type \`${type}\`${hint === undefined ? "" : `\n  ${hint}`}${known}`);
}
