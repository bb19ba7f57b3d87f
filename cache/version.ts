import { readFileSync } from "node:fs";

/** Version of ranflow, from its package.json: beside the sources, or one folder above the built files. */
export function ranflowVersion(): string {
  for (const place of ["../package.json", "../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8")) as {
        name?: unknown;
        version?: unknown;
      };
      if (name === "ranflow" && typeof version === "string") return version;
    } catch {
      // The other place.
    }
  }
  return "unknown";
}
