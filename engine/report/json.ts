import type { Reporter } from "../model/reporter.ts";
import { createOutput } from "./output.ts";

/** Writes each event as one line of JSON: the same lines as the run's `events.ndjson`. */
export function createJsonReporter({ stream }: { readonly stream: NodeJS.WritableStream }): Reporter {
  const output = createOutput(stream);
  return {
    event(event) {
      output.line(JSON.stringify(event));
    },
    close: () => output.flush(),
  };
}
