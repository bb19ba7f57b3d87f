/**
 * A worker process: takes one request at a time from the driver and answers it.
 *
 *   worker <store root> <URL of a node library module>...
 *
 * It outlives nothing: it ends when the driver closes the IPC channel, which the kernel does where the driver died.
 * Ctrl-C and a lost terminal reach the whole process group; what becomes of a step is the driver's to decide.
 */
import { openObjects } from "../../cache/objects.ts";
import { temporaryPath } from "../../cache/temporary.ts";
import { unreachable } from "../model/result.ts";
import { openChannel, processTransport } from "./channel.ts";
import { loadLibrary } from "./library.ts";
import { redactStream } from "./printed.ts";
import { openPrivateFolders } from "./private-folders.ts";
import { createRedactor } from "./redact.ts";
import { serve } from "./run-step.ts";

for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) process.on(signal, () => {});
process.on("disconnect", () => process.exit(0));
// A driver that died while this process was still loading its modules has disconnected already.
if (process.send && !process.connected) process.exit(0);

const [root, ...libraryUrls] = process.argv.slice(2);
if (root === undefined || !process.send) {
  throw new Error("internal error: a worker is started by ranflow, with a store and an IPC channel");
}

const redactor = createRedactor(process.env);
const printed = [process.stdout, process.stderr].map((stream) => redactStream(stream, redactor));
const flushPrinted = (): void => printed.forEach(({ flush }) => flush());
process.on("exit", flushPrinted);
process.on("uncaughtException", (error) => {
  process.stderr.write(`${error.stack ?? error}\n`);
  process.exit(70);
});

let running: { readonly request: number; readonly abort: AbortController } | undefined;
const channel = openChannel(processTransport(), (message) => {
  switch (message.kind) {
    case "cancel":
      if (running?.request === message.request) running.abort.abort(new Error("cancelled"));
      return;
    case "scan":
    case "run": {
      const abort = new AbortController();
      running = { request: message.request, abort };
      void serve(message, { library, objects, channel, redactor, folders }, abort.signal).then((answer) => {
        running = undefined;
        flushPrinted();
        channel.send(answer);
      });
      return;
    }
    default:
      unreachable(message);
  }
});
const objects = openObjects(root);
const folders = openPrivateFolders(() => temporaryPath(root));
process.on("exit", () => folders.close());
const library = await loadLibrary(libraryUrls);
channel.send({ kind: "ready" });
