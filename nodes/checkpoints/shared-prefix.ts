/** Prefixes that wrappers of a model put before all its names. */
const wrapping = ["module.", "_orig_mod.", "model.", "clip_model.", "clip."];

/** The prefix of wrappers that all names share: `module.` of DataParallel. */
export function sharedPrefix(names: readonly string[]): string {
  let prefix = "";
  for (let found: string | undefined = ""; found !== undefined; prefix += found ?? "") {
    found = wrapping.find((one) => names.length > 0 && names.every((name) => name.startsWith(prefix + one)));
  }
  return prefix;
}
