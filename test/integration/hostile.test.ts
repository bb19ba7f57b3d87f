/**
 * Pipelines, programs and shared folders that try to write where they should not, and to act on the terminal of whoever
 * looks at them; through the real command line.
 */
import { existsSync, readFileSync } from "node:fs";
import { lstat, mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { createWorkspace, executedSteps, type Workspace } from "../rig/cli.ts";

vi.setConfig({ testTimeout: 300_000 });

const library = join(import.meta.dirname, "..", "..", "nodes", "index.ts");

let workspace: Workspace;
let victim = "";
beforeEach(async () => {
  workspace = await createWorkspace({ nodes: library });
  victim = join(workspace.folder, "victim");
  await mkdir(victim);
  await writeFile(join(victim, "file"), "untouched");
});
afterEach(() => workspace.remove());

/** What lies outside the store: names, kinds and bytes. */
async function outside(): Promise<readonly string[]> {
  const entries = await readdir(workspace.folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.startsWith(workspace.store));
  return Promise.all(
    paths.toSorted().map(async (path) => {
      const found = await lstat(path);
      return `${relative(workspace.folder, path)} ${found.mode.toString(8)} ${found.isFile() ? readFileSync(path, "utf8") : ""}`;
    }),
  );
}

const failures = (events: readonly RunEvent[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    events.flatMap((event) =>
      event.type === "step-failed" ? [[event.step as string, event.error.message] as const] : [],
    ),
  );

/** A node that runs a shell's script with the path of its output as `$1`, a scratch folder as `$2`, and `$3`. */
const program = (script: string, output = "t: text", more = ""): string =>
  `{ type: exec, ${more}with: { command: [sh, -c, ${JSON.stringify(script.replaceAll("$(", "$$$$("))}, sh, $(out.${output.split(":")[0]}), $(scratch), ${JSON.stringify(victim)}], outputs: { ${output} } } }`;

const run = ["run", "p.yaml", "--keep-going", "--backend", "cpu"];

describe("names", () => {
  it("of all kinds stay what they are: labels, nodes, ports, inputs and fields", async () => {
    const long = "x".repeat(3000);
    const labels = [".", "..", "...", "%2e%2e", "-rf", "con", "CON", "__proto__", "constructor", long];
    await workspace.write(
      "p.yaml",
      `name: constructor
inputs: { toString: { valueOf: 3 } }
axes:
  valueOf: [${labels.map((label) => JSON.stringify(label)).join(", ")}]
  hasOwnProperty: { __proto__: { __proto__: 1, toString: a } }
nodes:
  constructor: { type: text.write, with: { text: "$(inputs.toString.valueOf) $(hasOwnProperty.__proto__)" } }
  toString: { type: text.write, with: { text: "$(valueOf.label)" } }
  isPrototypeOf:
    type: exec
    in: { valueOf: { collect: toString }, constructor: constructor }
    with:
      command: [sh, -c, 'cat "$1/index.json" "$2" > "$3"; printf "{\\"valueOf\\":1,\\"__proto__\\":2}" > "$4"', sh, $(in.valueOf), $(in.constructor), $(out.constructor), $(out.toString)]
      outputs: { constructor: text, toString: metrics }
`,
    );
    const before = await outside();
    const { events, result } = await workspace.events(run);
    expect(result.exitCode, result.stderr + result.stdout).toBe(0);
    expect(executedSteps(events)).toHaveLength(labels.length + 2);
    const step = "isPrototypeOf[hasOwnProperty=__proto__]";
    const shown = await workspace.run(["show", "p.yaml", step, "--json"]);
    const { outputs } = JSON.parse(shown.stdout) as {
      readonly outputs: readonly { readonly files: Record<string, string>; readonly metrics?: object }[];
    };
    const text = await readFile(Object.values(outputs[0]?.files ?? {})[0] ?? "", "utf8");
    for (const label of labels)
      expect(text).toContain(JSON.stringify({ valueOf: label }).slice(1, -1).replace(":", ": "));
    expect(text).toMatch(/3 1$/);
    expect(JSON.stringify(outputs[1]?.metrics)).toBe('{"valueOf":1,"__proto__":2}');
    expect((await workspace.run(["metrics", "p.yaml"])).stdout).toMatch(/valueOf 1, .*__proto__ 2/);
    const log = await workspace.run(["log", "p.yaml", `toString[valueOf=${long}]`]);
    expect(log.stdout).toContain("succeeded");
    expect((await workspace.events(run)).events.filter(({ type }) => type === "step-started")).toEqual([]);
    expect(await outside()).toEqual(before);
  });

  it("that could be paths or commands are refused before anything runs", async () => {
    const bad = [
      "../x",
      "a/b",
      "/abs",
      "a b",
      "$$(x)",
      "\u0000",
      "é",
      "",
      "a\u001b]0;t\u0007",
      "..\\x",
      "a=b",
      "a]b",
    ];
    const lines = bad.map((label) => JSON.stringify(label)).join(", ");
    await workspace.write(
      "p.yaml",
      `name: "../../x"\naxes: { a: [${lines}] }\nnodes:\n  "../up": { type: text.write, with: { text: "$(a)" } }\n` +
        `  e: { type: exec, with: { command: [sh, $(out.../x)], outputs: { "../x": text, "a/b": text } } }\n` +
        `  f: { type: exec, with: { command: [cp, x, $(out.t)], outputs: { t: text }, files: [a/../../x] } }\n`,
    );
    const { exitCode, stderr } = await workspace.run(run);
    expect(exitCode).toBe(2);
    expect(stderr.match(/ invalid-label /g)?.length).toBeGreaterThanOrEqual(bad.length - 1);
    expect(stderr).toMatch(/invalid-name "\.\.\/\.\.\/x"/);
    expect(stderr).toMatch(/invalid-name `\.\.\/up`/);
    expect(stderr.match(/invalid key in record/g)).toHaveLength(2);
    expect(stderr).toMatch(/`a\/\.\.\/\.\.\/x` under `files` does not lie below/);
    expect(existsSync(workspace.store)).toBe(false);
    // oxlint-disable-next-line no-control-regex -- what must not be there
    expect(stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
  });

  it("given on the command line name what is in the store, and no path", async () => {
    await workspace.write("p.yaml", `name: p\nnodes:\n  a: { type: text.write, with: { text: hi } }\n`);
    await workspace.run(run);
    await mkdir(join(victim, "steps"), { recursive: true });
    await writeFile(join(victim, "steps", "a.log"), "stolen");
    await writeFile(join(victim, "events.ndjson"), '{"type":"stolen","n":0,"t":0}\n');
    const before = await outside();
    for (const args of [
      ["log", "p.yaml", "a", "--run", "../../victim"],
      ["replay", "../../victim"],
      ["tag", "../../victim", "p.yaml"],
      ["show", "p.yaml", "../../../victim/steps/a"],
    ]) {
      const { exitCode, stdout, stderr } = await workspace.run(args);
      expect(exitCode, args.join(" ")).toBe(2);
      expect(stdout + stderr).not.toContain("stolen");
    }
    expect(await outside()).toEqual(before);
  });
});

describe("outputs of a program", () => {
  it("are what it wrote there: no links, pipes or devices, and nothing outside changes", async () => {
    const nodes: Readonly<Record<string, string>> = {
      link: program('ln -s "$3/file" "$1"'),
      passwd: program('ln -s /etc/passwd "$1"'),
      scratchLink: program('echo x > "$2/f"; ln -s "$2/f" "$1"'),
      dangling: program('ln -s "$3/nowhere" "$1"'),
      folderLink: program('rmdir "$1"; ln -s "$3" "$1"', "t: folder"),
      linkInside: program('ln -s "$3" "$1/in"; echo x > "$1/f"', "t: folder"),
      fileLinkInside: program('ln -s "$3/file" "$1/in"', "t: folder"),
      pipe: program('mkfifo "$1"'),
      pipeInside: program('echo x > "$1/f"; mkfifo "$1/p"', "t: folder"),
      backslash: program('echo x > "$1/..\\\\..\\\\evil"', "t: folder"),
      gone: program('rm -rf "$(dirname "$1")"'),
      // Between the end of the program and the look at its outputs there is its scratch folder to remove.
      swapped: program('echo x > "$1"; rm -rf "$(dirname "$2")"; ln -s "$3" "$(dirname "$2")"'),
      hardLink: program('ln "$3/file" "$1"'),
    };
    const lines = Object.entries(nodes).map(([name, node]) => `  ${name}: ${node}\n`);
    await workspace.write("p.yaml", `name: hostile\nnodes:\n${lines.join("")}`);
    const before = await outside();
    const { events, result } = await workspace.events(run);
    expect(result.exitCode, result.stderr).toBe(1);
    const failed = failures(events);
    const refused = Object.keys(nodes).filter((name) => !["swapped", "hardLink"].includes(name));
    expect(Object.keys(failed).toSorted()).toEqual(refused.toSorted());
    for (const name of ["link", "passwd", "scratchLink", "linkInside", "fileLinkInside"]) {
      expect(failed[name], name).toMatch(/is a link to .*, which is neither an input nor an output/);
    }
    expect(failed["dangling"]).toContain("is a link that leads nowhere");
    for (const name of ["pipe", "pipeInside"])
      expect(failed[name], name).toContain("neither a file nor a folder");
    // What was there under another name, too, is copied: the other name's file stays as it is.
    expect(await outside()).toEqual(before);
    expect(await readdir(join(workspace.store, "tmp"))).toEqual([]);
  });

  it("with the oddest names are shown, copied and published inside their folders", async () => {
    const script =
      'mkdir "$1/.artifact"; echo forged > "$1/.artifact/x"; echo 1 > "$1/-rf"; echo 2 > "$1/$(printf "a\\033]52;c;eA==\\007\\nb")"; ' +
      'printf "\\033]0;owned\\007# \\302\\2332Jtitle\\342\\200\\256" > "$1/t.md"';
    const deep =
      'cd "$1"; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do d=$(printf "%0250d" 7); mkdir $d; cd $d; done; echo x > f';
    await workspace.write(
      "p.yaml",
      `name: hostile
nodes:
  odd: ${program(script, "r: report", 'description: "title \\u001b]0;owned\\u0007", ')}
  deep: ${program(deep, "r: report")}
  forged: ${program('echo forged > "$1/.artifact"; echo x > "$1/x.md"', "r: report")}
`,
    );
    await symlink(join(victim, "nowhere"), join(workspace.folder, "link"));
    const before = await outside();
    const { exitCode, stdout, stderr } = await workspace.run(run);
    expect(exitCode, stderr).toBe(0);
    const results = join(workspace.store, "results", "hostile");
    expect(await readFile(join(results, "odd", ".artifact"), "utf8")).toMatch(/^sha256:/);
    expect(await readFile(join(results, "forged", ".artifact"), "utf8")).toMatch(/^sha256:/);
    expect(await readdir(join(results, "odd"))).toContain("-rf");
    const printed = [stdout, stderr];
    const copied = await workspace.run(["show", "p.yaml", "odd", "--to", "out"]);
    printed.push(copied.stdout, copied.stderr);
    expect(copied.exitCode, copied.stderr).toBe(0);
    expect((await outside()).filter((line) => !before.includes(line) && !line.startsWith("out"))).toEqual([]);
    // A link that leads to where nothing is yet is no way out either.
    await mkdir(join(workspace.folder, "out2", "r"), { recursive: true });
    await symlink(join(victim, "planted"), join(workspace.folder, "out2", "r", "-rf"));
    const through = await workspace.run(["show", "p.yaml", "odd", "--to", "out2"]);
    expect(through.exitCode).toBe(1);
    expect(await readdir(victim)).toEqual(["file"]);
    for (const text of [...printed, through.stderr]) {
      // oxlint-disable-next-line no-control-regex -- what must not be there
      expect(text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/);
    }
  });
});

describe("what a program prints, and calls its metrics", () => {
  const osc = "\u001b]52;c;ZXZpbA==\u0007";
  it.each([
    ["plain", {}],
    ["plain in colours", { FORCE_COLOR: "1", NO_COLOR: "" }],
  ])("has no power over the terminal: %s", async (_, env) => {
    const json = JSON.stringify({ [`a${osc}`]: 1, headline: `a${osc}`, note: "\u009b2J\u202e" });
    await workspace.write("json", json);
    const bad = "\\033]52;c;ZXZpbA==\\007\\033[2J\\033[1A\\302\\233?1049h\\342\\200\\256";
    await workspace.write(
      "p.yaml",
      `name: hostile
nodes:
  fails: ${program(`printf "one ${bad}\\n"; printf "two ${bad}\\rthree" >&2; exit 4`)}
  measures: { type: exec, with: { command: [cp, json, $(out.m)], files: [json], outputs: { m: metrics } } }
  progresses: ${program(`printf '{"ranflow":{"done":1,"total":9,"loss\\\\u001b]0;x\\\\u0007":1,"unit":"\\\\u001b[2J"}}\\n'; echo > "$1"`)}
`,
    );
    const texts: string[] = [];
    const commands =
      "NO_COLOR" in env
        ? [run, ["metrics", "p.yaml"]]
        : [
            run,
            ["log", "p.yaml", "fails"],
            ["show", "p.yaml", "measures"],
            ["metrics", "p.yaml", "--json"],
            ["replay", "--ui", "json"],
            [`no ${osc}`],
          ];
    for (const args of commands) {
      const { stdout, stderr } = await workspace.run(args, env);
      texts.push(stdout, stderr);
      if (args.includes("--json")) expect(JSON.parse(stdout)).toMatchObject([JSON.parse(json)]);
    }
    // oxlint-disable-next-line no-control-regex -- what may be there
    const styles = /\u001b\[[0-9;]*m/g;
    const all = texts.join("\n");
    if ("FORCE_COLOR" in env) expect(all).toMatch(styles);
    // oxlint-disable-next-line no-control-regex -- what must not be there
    expect(all.replaceAll(styles, "")).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(all).toContain("one ");
  });
});
