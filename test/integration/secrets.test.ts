/**
 * Runs that try to make a secret known, through the real command line: programs that print it and write it, a server
 * that sends back what it was sent. Afterwards no byte of the store, of a shared folder or of the output may show it.
 */
import { readFile, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { createWorkspace, executedSteps, type Workspace } from "../rig/cli.ts";

vi.setConfig({ testTimeout: 300_000 });

const library = join(import.meta.dirname, "..", "..", "nodes", "index.ts");
const run = ["run", "p.yaml", "--keep-going", "--backend", "cpu"];

const key = 'sk-proj-7Qx/Zr"0+aBcDeF&gHiJkLmN=oPqRsTuVwXyZ0123456789';
const pem = [
  "-----BEGIN PRIVATE KEY-----",
  "MC4CAQAwBQYDK2VwBCIEIGx0ZXN0LW9ubHkt",
  "bm90LWEtcmVhbC1rZXktYXQtYWxsLTEyMzQ1",
  "-----END PRIVATE KEY-----",
].join("\n");
const env = { LAB_KEY: key, LAB_PEM: pem, LAB_EMPTY: "EMPTY" };

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace({ nodes: library });
});
afterEach(() => workspace.remove());

/** What gives a secret away: half of a form of it. */
const traces = [key, ...pem.split("\n").slice(1, 3)].flatMap((secret) =>
  [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString("hex"),
    // At each of the three places where it may begin in other text.
    ...[0, 1, 2].map((at) =>
      Buffer.concat([Buffer.alloc(at), Buffer.from(secret)])
        .toString("base64")
        .slice(4, -4),
    ),
  ].flatMap((form) => {
    const half = Math.ceil(form.length / 2);
    return [form.slice(0, half), form.slice(-half)];
  }),
);

function expectNoTrace(bytes: Buffer | string, where: string): void {
  for (const trace of traces) expect(bytes.includes(trace), `${where} shows ${trace}`).toBe(false);
}

async function expectNoTraceUnder(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => join(parentPath, name));
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) expectNoTrace(await readFile(file), file);
}

const failures = (events: readonly RunEvent[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    events.flatMap((event) =>
      event.type === "step-failed" ? [[event.step as string, event.error.message] as const] : [],
    ),
  );

/** A node that runs a shell's script; `out` stands for the path of its output. */
const program = (script: string, outputs = "text: text"): string =>
  `{ type: exec, with: { command: [sh, -c, ${JSON.stringify(script.replaceAll("$(", "$$$$(").replace(/\bout\b/g, "$1"))}, sh, $(out.${outputs.split(":")[0]})], outputs: { ${outputs} }, secrets: [LAB_KEY, LAB_PEM] } }`;

describe("the secret of a program", () => {
  it("shows nowhere, whatever the program prints, and enters no result", async () => {
    const nodes: Readonly<Record<string, string>> = {
      prints: program('echo "key $LAB_KEY"; echo "$LAB_PEM"; echo done > out'),
      encodes: program(
        'printf "user:%s" "$LAB_KEY" | base64; printf %s "$LAB_PEM" | base64 -w 20; printf %s "$LAB_KEY" | od -An -tx1 | tr -d " \\n"; echo done > out',
      ),
      pieces: program(
        'for i in 1 9 17 25 33 41 49; do printf %s "$LAB_KEY" | cut -c$i-$((i+7)) | tr -d "\\n"; done; echo; echo done > out',
      ),
      // So long a line that it is cut in the middle of the key.
      cuts: program('printf "%03970d%s%0500d\\n" 0 "$LAB_KEY" 0; echo done > out'),
      progresses: program(
        `line=$(echo "$LAB_PEM" | sed -n 2p); printf '{"ranflow":{"done":1,"total":2,"%s":0.5,"unit":"%s"}}\\n' $line $line; echo done > out`,
      ),
      fails: program('echo "bad key $LAB_KEY" >&2; printf "%s" "$LAB_PEM" >&2; exit 3'),
      writes: program('echo "{\\"key\\": \\"$LAB_PEM\\"}" > out'),
      measures: program(
        `printf '{"auroc": 0.5, "token": "%s"}' "$(printf %s "$LAB_KEY" | base64 -w 0)" > out`,
        "metrics: metrics",
      ),
      stands: `{ type: exec, with: { command: [sh, -c, 'echo "$LAB_EMPTY" > "$1"', sh, $(out.text)], outputs: { text: text }, secrets: [LAB_EMPTY] } }`,
    };
    const lines = Object.entries(nodes).map(([name, node]) => `  ${name}: ${node}\n`);
    await workspace.write("p.yaml", `name: leaks\nnodes:\n${lines.join("")}`);
    const { events, result } = await workspace.events(run, env);
    expect(result.exitCode, result.stderr).toBe(1);
    const failed = failures(events);
    expect(failed).toEqual({
      fails: "the program sh exited with code 3: [LAB_PEM]",
      writes: "its output text holds the value of LAB_PEM, which is secret",
      measures: "its output metrics holds the value of LAB_KEY, which is secret",
    });
    expect(executedSteps(events).toSorted()).toEqual(
      Object.keys(nodes)
        .filter((name) => !(name in failed))
        .toSorted(),
    );
    const logged = events.flatMap((event) => (event.type === "step-log" ? [event.message] : []));
    expect(logged).toContain("key [LAB_KEY]");
    expect(logged.filter((line) => line === "[LAB_PEM]").length).toBeGreaterThanOrEqual(4);
    expect(events.filter(({ type }) => type === "step-progress")).toMatchObject([
      { unit: "[LAB_PEM]", series: { "[LAB_PEM]": 0.5 } },
    ]);

    const printed = [result.stdout, result.stderr];
    const remote = join(workspace.folder, "shared");
    for (const args of [
      ["log", "p.yaml", "fails"],
      ["show", "p.yaml", "prints"],
      ["cache", "push", remote],
    ]) {
      const { stdout, stderr } = await workspace.run(args, env);
      printed.push(stdout, stderr);
    }
    expectNoTrace(printed.join("\n"), "the output");
    await expectNoTraceUnder(workspace.store);
    await expectNoTraceUnder(remote);
  });
});

describe("the key of a server of language models", () => {
  let server: Server;
  afterEach(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));

  it("shows nowhere, however the server sends it back", async () => {
    const header = Object.keys({ authorization: "" })[0] ?? "";
    server = createServer((request, response) => {
      const sent = request.headers[header] as string;
      const chat = (content: string): string => JSON.stringify({ choices: [{ message: { content } }] });
      const answers: Readonly<Record<string, readonly [number, string]>> = {
        refuses: [401, JSON.stringify({ error: { message: `bad ${sent}` } })],
        // The message is cut after 200 characters: in the middle of the key.
        cuts: [400, JSON.stringify({ error: { message: `${"x".repeat(160)} ${sent}` } })],
        echoes: [200, chat(`Chest radiograph ${sent}`)],
        encodes: [200, chat(`Chest ${Buffer.from(sent).toString("base64")}`)],
        other: [200, JSON.stringify({ headers: { [header]: sent } })],
        garbles: [200, `<html>${sent}</html>`],
        breaks: [404, sent],
      };
      const [status, body] = answers[request.url?.split("/")[1] ?? ""] ?? [200, ""];
      request.resume().on("end", () => {
        response.writeHead(status, {
          "content-type": "application/json",
          "x-echo": encodeURIComponent(sent),
        });
        response.end(body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const names = ["refuses", "cuts", "echoes", "encodes", "other", "garbles", "breaks"];
    const record = {
      id: "a",
      image: { digest: `sha256:${"0".repeat(64)}`, size: 1 },
      caption: "Chest radiograph",
    };
    const rewriter = (node: string, name: string, onFail: string): string => `  ${node}:
    type: attack.caption-llm
    in: { pairs: pairs }
    with: { backend: openai, model: ${name}, baseUrl: "http://127.0.0.1:${port}/${name}/v1", apiKey: LAB_KEY, requestRetries: 0, retries: 0, maxWmr: 5, onFail: ${onFail} }\n`;
    const rewriters = [
      ...names.map((name) => rewriter(name, name, "fail")),
      // These cost the caption and not the step, whose outputs then say why.
      ...["cuts", "other", "garbles"].map((name) => rewriter(`${name}-counted`, name, "clean")),
    ];
    const pairs = `{ type: exec, with: { command: [printf, '%s\\n', '${JSON.stringify(record)}'], outputs: { pairs: pairs }, stdout: pairs } }`;
    await workspace.write("p.yaml", `name: servers\nnodes:\n  pairs: ${pairs}\n${rewriters.join("")}`);
    const { events, result } = await workspace.events(run, { LAB_KEY: key.replaceAll('"', "") });
    expect(result.exitCode, result.stderr).toBe(1);
    const failed = failures(events);
    expect(Object.keys(failed).toSorted()).toEqual(names.toSorted());
    expect(failed["refuses"]).toContain("bad Bearer [LAB_KEY]");
    expect(failed["echoes"]).toBe(
      "what it would keep of an item holds the value of LAB_KEY, which is secret",
    );
    expect(failed["encodes"]).toBe(failed["echoes"]);
    expectNoTrace(result.stdout + result.stderr, "the output");
    await expectNoTraceUnder(workspace.store);
  });
});
