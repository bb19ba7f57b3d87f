import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { textWrite } from "../../nodes/text-write.ts";
import { runNode } from "../rig/run-node.ts";

async function written(text: string | number | boolean): Promise<string> {
  const { outputs } = await runNode(textWrite, { params: { text } });
  return readFile(outputs["text"] as string, "utf8");
}

it("writes the text and nothing else", async () => {
  expect(await written("rate: 0.1\nnote: Müller\n")).toBe("rate: 0.1\nnote: Müller\n");
  expect(await written("")).toBe("");
});

it("writes numbers and booleans as text", async () => {
  expect(await written(0.1)).toBe("0.1");
  expect(await written(false)).toBe("false");
});

it("writes nothing of the texts that come before it", async () => {
  const before = await runNode(textWrite, { params: { text: "before" } });
  const path = before.outputs["text"] as string;
  const { outputs } = await runNode(textWrite, {
    params: { text: "after" },
    inputs: { after: [{ at: {}, path }] },
  });
  expect(await readFile(outputs["text"] as string, "utf8")).toBe("after");
});
