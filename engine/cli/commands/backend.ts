import type { Command } from "commander";

/** Registers `ranflow backend list | install tensorflow | remove tensorflow`. */
export function register(program: Command): void {
  const backend = program.command("backend").description("List, install and remove compute backends");

  backend
    .command("list")
    .description("Show which compute backends load, and why others do not")
    .option("--json", "print JSON")
    .action(async (options: { json?: boolean }) => {
      const { backendReport } = await import("../../../nodes/compute/report.ts");
      const report = await backendReport();
      if (options.json) return print(JSON.stringify(report, null, 2));
      const { backendLines } = await import("./doctor.ts");
      for (const line of backendLines(report)) print(line);
    });

  backend
    .command("install")
    .description("Install the native TensorFlow backend for this user, with npm, pip and a C++ compiler")
    .argument("<backend>", "tensorflow")
    .option("--force", "install again over an existing installation")
    .addHelpText(
      "after",
      "\nThe installation lies in $RANFLOW_BACKENDS, else $XDG_DATA_HOME/ranflow/backends, else ~/.local/share/ranflow/backends.",
    )
    .action(async (name: string, options: { force?: boolean }) => {
      if (isTensorflow(name)) await install(options.force ?? false);
    });

  backend
    .command("remove")
    .description("Remove the installed TensorFlow backend")
    .argument("<backend>", "tensorflow")
    .action(async (name: string) => {
      if (!isTensorflow(name)) return;
      const { removeTensorflow } = await import("../../../nodes/compute/install.ts");
      try {
        const removed = await removeTensorflow(process.env);
        print(removed ? `removed ${removed}` : "tensorflow is not installed here");
      } catch (error) {
        await fail(error);
      }
    });
}

async function install(force: boolean): Promise<void> {
  const { installTensorflow } = await import("../../../nodes/compute/install.ts");
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  const started = performance.now();
  const show = progressPrinter();
  try {
    const outcome = await installTensorflow(
      { env: process.env, signal: stop.signal, report: show },
      { force },
    );
    const versions = Object.entries(outcome.record.versions).map((entry) => entry.join(" "));
    if (outcome.installed)
      print(`installed in ${Math.round((performance.now() - started) / 1000)} s: ${outcome.folder}`);
    else print(`already installed: ${outcome.folder} (install again with --force)`);
    print(`  ${versions.join(", ")}`);
    for (const [file, digest] of Object.entries(outcome.record.sha256)) print(`  sha256 ${digest}  ${file}`);
  } catch (error) {
    if (stop.signal.aborted) {
      process.stderr.write("interrupted: nothing was installed\n");
      process.exitCode = 130;
    } else await fail(error);
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

type Show = (
  event:
    | { readonly kind: "line"; readonly text: string }
    | { readonly kind: "bytes"; readonly what: string; readonly done: number; readonly total: number },
) => void;

/** Lines for everyone; on a terminal, also the bytes of what is under way, on one line that is written over. */
function progressPrinter(): Show {
  let shown = "";
  return (event) => {
    if (event.kind === "line") {
      print(event.text);
      shown = "";
      return;
    }
    if (!process.stdout.isTTY) return;
    const percent = Math.floor((100 * event.done) / event.total);
    const text = `  ${event.what} ${percent} % of ${Math.round(event.total / 1e6)} MB`;
    if (text !== shown) process.stdout.write(`\r${text}\u001b[K${event.done === event.total ? "\n" : ""}`);
    shown = text;
  };
}

function isTensorflow(name: string): boolean {
  if (name === "tensorflow") return true;
  const known = name === "wasm" || name === "cpu";
  process.stderr.write(
    known
      ? `${name} comes with ranflow: there is nothing to install or remove\n`
      : `there is no backend ${JSON.stringify(name)} to install or remove\n  use tensorflow\n`,
  );
  process.exitCode = 2;
  return false;
}

async function fail(error: unknown): Promise<void> {
  const { NodeError } = await import("../../sdk.ts");
  if (!(error instanceof NodeError)) throw error;
  process.stderr.write(`${error.message}\n${error.hint ? `  ${error.hint}\n` : ""}`);
  process.exitCode = 1;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
