/**
 * Pipelines that another one imports under a namespace: outside, everything of theirs is called `namespace/name`.
 * The pipeline that was opened has the empty namespace.
 */

/** A name of a pipeline as it is written where the pipeline lies under a namespace. */
export function qualified(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

/** A qualified name as a pipeline writes it that lies under this namespace. */
export function nameWithin(namespace: string, name: string): string {
  return namespace !== "" && name.startsWith(`${namespace}/`) ? name.slice(namespace.length + 1) : name;
}

/** The namespace and the rest of a qualified name. */
export function splitName(name: string): { readonly namespace: string; readonly rest: string } {
  const slash = name.lastIndexOf("/");
  return slash < 0
    ? { namespace: "", rest: name }
    : { namespace: name.slice(0, slash), rest: name.slice(slash + 1) };
}
