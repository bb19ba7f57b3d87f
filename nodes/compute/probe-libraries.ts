/**
 * Loads shared libraries one after the other, in a process of its own, and prints a JSON object of those that do not
 * load, each with what the system's loader says.
 *
 * Arguments: paths, or names for the loader to look for.
 */
import { writeSync } from "node:fs";

const failures: Record<string, string> = {};
for (const library of process.argv.slice(2)) {
  try {
    process.dlopen({ exports: {} }, library);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // Node's own complaint, after the library was loaded: it is no addon.
    if (!reason.startsWith("Module did not self-register")) failures[library] = reason;
  }
}
writeSync(1, JSON.stringify(failures));
