import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Port, RunContext } from "../../engine/sdk.ts";
import { renderPng } from "./png.ts";

/** Writes a figure into the output `report`: its data as `figure.json`, and the drawing as `figure.svg` and `figure.png`. */
export async function writeFigureFiles(
  { outputs, scratch }: Pick<RunContext<never, never, { readonly report: Port }>, "outputs" | "scratch">,
  data: object,
  svg: string,
): Promise<void> {
  const write = (name: string, content: string | Uint8Array): Promise<void> =>
    writeFile(join(outputs.report.path, name), content);
  await write("figure.json", `${JSON.stringify(data, undefined, 2)}\n`);
  await write("figure.svg", svg);
  await write("figure.png", await renderPng(svg, scratch));
}
