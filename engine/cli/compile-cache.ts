import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * Keeps the compiled code of modules that are imported from here on, in the user's cache folder: a command that
 * changes nothing spends a good part of its time on compiling. Worker processes find the folder in their environment.
 * Where it cannot be made or written, or Node is too old for it, nothing is kept. NODE_COMPILE_CACHE names another folder and
 * NODE_DISABLE_COMPILE_CACHE=1 turns it off: both are Node's own.
 */
export function keepCompiledCode(): void {
  const cache = userCacheFolder();
  if (cache === undefined) return;
  // Not the system's temporary folder, Node's default: on a shared machine its names belong to whoever comes first.
  const folder = join(cache, "ranflow", "compiled");
  const kept = (module as Partial<typeof module>).enableCompileCache?.(folder);
  if (kept?.directory !== undefined) process.env["NODE_COMPILE_CACHE"] ??= folder;
}

function userCacheFolder(): string | undefined {
  const named = process.env["XDG_CACHE_HOME"] ?? process.env["LOCALAPPDATA"];
  if (named) return named;
  try {
    return join(homedir(), ".cache");
  } catch {
    // A user without an entry in the password file, as in some containers.
    return undefined;
  }
}
