import type { Command } from "commander";
import type { InstallEvent } from "../../../nodes/compute/install.ts";
import { Exit, exitCodes, fail } from "../exit.ts";
import { overwriteLine } from "../output.ts";

/** Registers `ranflow backend list | install tensorflow | remove tensorflow`. */
export function register(program: Command): void {
  const backend = program.command("backend").description("list, install and remove compute backends");

  backend
    .command("list")
    .description("show which compute backends load, and why others do not")
    .option("--json", "print JSON")
    .option("--verify", "also hash the installed files and compare them with what was installed")
    .action(async (options: { json?: boolean; verify?: boolean }) => {
      const { backendReport } = await import("../../../nodes/compute/report.ts");
      const report = await backendReport();
      if (options.json) return print(JSON.stringify(report, null, 2));
      const { backendLines } = await import("./doctor.ts");
      for (const line of backendLines(report)) print(line);
      if (options.verify) await verify();
    });

  backend
    .command("install")
    .description("install the native TensorFlow backend for this user, with npm, pip and a C++ compiler")
    .argument("<backend>", "tensorflow")
    .option(
      "--cuda",
      "for NVIDIA GPUs: TensorFlow's CUDA build with NVIDIA's libraries, 3.5 GB to download, 5.5 GB in place",
    )
    .option("--force", "install again over an existing installation")
    .addHelpText(
      "after",
      "\n--cuda needs a driver of version 525 or later on the machine that computes, not on the one that installs. Both builds may be\n" +
        "installed; where a GPU can be seen, the one for CUDA is used.\n" +
        "\nThe installation lies in $RANFLOW_BACKENDS, else $XDG_DATA_HOME/ranflow/backends, else ~/.local/share/ranflow/backends.",
    )
    .action(async (name: string, options: { cuda?: boolean; force?: boolean }) => {
      wantTensorflow(name);
      await install({ build: options.cuda ? "cuda" : "cpu", force: options.force ?? false });
    });

  backend
    .command("remove")
    .description("remove the installed TensorFlow backend")
    .argument("<backend>", "tensorflow")
    .option("--cuda", "the build for CUDA, not the one for CPUs")
    .action(async (name: string, options: { cuda?: boolean }) => {
      wantTensorflow(name);
      const { removeTensorflow } = await import("../../../nodes/compute/install.ts");
      try {
        const removed = await removeTensorflow(process.env, options.cuda ? "cuda" : "cpu");
        print(removed ? `removed ${removed}` : "tensorflow is not installed here");
      } catch (error) {
        await explain(error);
      }
    });
}

async function verify(): Promise<void> {
  const { damagedFiles, readInstallation } = await import("../../../nodes/compute/install.ts");
  const { tensorflowFolder } = await import("../../../nodes/compute/places.ts");
  let installations = 0;
  for (const build of ["cpu", "cuda"] as const) {
    const record = await readInstallation(process.env, build);
    if (!record) continue;
    installations += 1;
    const damaged = await damagedFiles(tensorflowFolder(build, process.env), record);
    if (damaged.length > 0)
      fail(
        `${damaged.join(", ")} changed since the installation\n  install again with \`ranflow backend install tensorflow ${build === "cuda" ? "--cuda " : ""}--force\``,
        exitCodes.stepFailed,
      );
    print(`${build}: ${Object.keys(record.sha256).length} installed files are as installed`);
  }
  if (installations === 0) print("nothing is installed");
}

async function install(options: { build: "cpu" | "cuda"; force: boolean }): Promise<void> {
  const { installTensorflow } = await import("../../../nodes/compute/install.ts");
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  const started = performance.now();
  const show = progressPrinter();
  try {
    const outcome = await installTensorflow({ env: process.env, signal: stop.signal, report: show }, options);
    const versions = Object.entries(outcome.record.versions).map((entry) => entry.join(" "));
    if (outcome.installed)
      print(`installed in ${Math.round((performance.now() - started) / 1000)} s: ${outcome.folder}`);
    else print(`already installed: ${outcome.folder} (install again with --force)`);
    print(`  ${versions.join(", ")}`);
    for (const [file, digest] of Object.entries(outcome.record.sha256))
      if (!file.includes("/nvidia/")) print(`  sha256 ${digest}  ${file}`);
    for (const wheel of outcome.record.cudaWheels ?? []) print(`  from ${wheel}`);
    if (options.build === "cuda") await printGpus();
  } catch (error) {
    if (stop.signal.aborted) throw new Exit(exitCodes.interrupted, "interrupted: nothing was installed");
    await explain(error);
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

/** What the new installation finds to compute on, here. */
async function printGpus(): Promise<void> {
  const { gpuReport } = await import("../../../nodes/compute/gpu.ts");
  const { gpuLines } = await import("./doctor.ts");
  for (const line of ["gpus", ...gpuLines(await gpuReport(process.env)).map((text) => `  ${text}`)])
    print(line);
}

/** Lines for everyone; on a terminal, also the bytes of what is under way, on one line that is written over. */
function progressPrinter(): (event: InstallEvent) => void {
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
    if (text !== shown) overwriteLine(process.stdout, text, event.done === event.total ? "\n" : "");
    shown = text;
  };
}

/** Ends the command unless the backend is the one that is installed rather than shipped. */
function wantTensorflow(name: string): void {
  if (name === "tensorflow") return;
  const shipped = name === "wasm" || name === "cpu";
  fail(
    shipped
      ? `${name} comes with ranflow: there is nothing to install or remove`
      : `there is no backend ${JSON.stringify(name)} to install or remove; use tensorflow`,
  );
}

/** Ends the command with what the user can do; any other error is a fault of ranflow's own. */
async function explain(error: unknown): Promise<never> {
  const { NodeError } = await import("../../sdk.ts");
  if (!(error instanceof NodeError)) throw error;
  fail(error.hint ? `${error.message}\n  ${error.hint}` : error.message, exitCodes.stepFailed);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
