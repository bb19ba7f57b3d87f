/** Arguments of any kind: each command does what they say, or says what is wrong with them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommanderError } from "commander";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { Exit } from "../../engine/cli/exit.ts";
import { createProgram } from "../../engine/cli/program.ts";
import fc from "../rig/fast-check.ts";

const started = process.cwd();
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-arguments-"));
  // Names that lead up stay in the temporary folder.
  const inner = join(folder, "a", "b", "c");
  await mkdir(inner, { recursive: true });
  await writeFile(
    join(inner, "p.yaml"),
    "name: p\naxes: { a: [1, 2] }\nnodes: { w: { type: run.write, with: { text: $(a.label) } } }\n",
  );
  await writeFile(join(inner, "bad.yaml"), "name: [\n\t{");
  process.chdir(inner);
  vi.stubEnv("RANFLOW_NODES", join(import.meta.dirname, "run-nodes.ts"));
  vi.stubEnv("RANFLOW_STORE", join(inner, ".ranflow"));
  vi.stubEnv("HOME", inner);
});
afterAll(async () => {
  process.chdir(started);
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

const commands =
  "check|plan|show|explain|log|metrics|nodes|schema|tag|watch|replay|init|run|cache status|cache gc|cache verify|cache push|cache pull|cache|help";
const options =
  "--json|--csv|--scan|--dry-run|--repair|--with-data|--delete|--all|--force|--help|--axes|--set|--profile|--store|--run|--days|--pipeline|--tag|--remote|--slots|--threads|--speed|--ui|--checkpoint-minutes|--nonsense|--|-";
const values =
  "p.yaml|bad.yaml|missing.yaml|.|..|../..|w|w[a=1]|w[a=*]|+w|w+|w[|w[a=|[]|w[a=1,a=2]|**|a=1|a=|=|a=1,b|inputs.x=1|inputs.|inputs.__proto__.x=1|__proto__|constructor|0|-1|1e999|NaN|cpu=0|cpu=x|cpu=1,gpu=1|json|plain|20200101-000000-0000|latest|v1||\u0000|\u001b]0;t\u0007|é😀";
const pick = (texts: string): fc.Arbitrary<string> => fc.constantFrom(...texts.split("|"));

it("no arguments are an internal error, and none that are wrong are silent", async () => {
  const said: string[] = [];
  const hear = (chunk: unknown): boolean => {
    said.push(String(chunk));
    return true;
  };
  const out = vi.spyOn(process.stdout, "write").mockImplementation(hear);
  const err = vi.spyOn(process.stderr, "write").mockImplementation(hear);
  const log = vi.spyOn(console, "log").mockImplementation(hear);
  const error = vi.spyOn(console, "error").mockImplementation(hear);
  let wrong = 0;
  try {
    await fc.assert(
      fc.asyncProperty(
        pick(commands),
        fc.array(
          fc.oneof(pick(options), pick(values), pick(values), fc.string({ unit: "binary", maxLength: 5 })),
          {
            maxLength: 5,
          },
        ),
        async (command, rest) => {
          // A run of something that can run is for other tests.
          const args = [
            ...command.split(" "),
            ...rest.filter((arg) => command !== "run" || arg !== "p.yaml"),
          ];
          said.length = 0;
          process.exitCode = 0;
          try {
            const program = await createProgram();
            await program.parseAsync(args, { from: "user" });
          } catch (thrown) {
            if (thrown instanceof Exit) {
              said.push(thrown.message);
              process.exitCode = thrown.code;
            } else if (thrown instanceof CommanderError) process.exitCode = thrown.exitCode === 0 ? 0 : 2;
            else if (thrown instanceof Error && thrown.name === "StoreError") {
              said.push(thrown.message);
              process.exitCode = 1;
            } else throw new Error(`internal error at ${JSON.stringify(args)}`, { cause: thrown });
          }
          expect([0, 1, 2]).toContain(process.exitCode);
          if (process.exitCode === 0) return;
          wrong++;
          expect(said.join("").trim(), JSON.stringify(args)).not.toBe("");
          expect(said.join(""), JSON.stringify(args)).not.toMatch(/undefined|\[object |NaN of|TypeError/);
        },
      ),
      { numRuns: 600 },
    );
  } finally {
    process.exitCode = 0;
    for (const spy of [out, err, log, error]) spy.mockRestore();
  }
  expect(wrong).toBeGreaterThan(200);
});
