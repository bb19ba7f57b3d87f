import type { StepError } from "../model/events.ts";
import { NodeError } from "../sdk.ts";

/** A failure as the driver hears of it. */
export interface Failure {
  readonly error: StepError;
  /** Worth trying again. */
  readonly transient: boolean;
}

interface ErrorLike {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly stack?: unknown;
  readonly code?: unknown;
  readonly hint?: unknown;
  readonly detail?: unknown;
  readonly transient?: unknown;
  readonly path?: unknown;
  readonly cause?: unknown;
}

/** A node that came to its end without having written an output. */
export class UnwrittenOutput extends Error {
  constructor(output: string, problem: string) {
    super(`its output ${output} ${problem}`);
    this.name = "UnwrittenOutput";
  }
}

/** A secret is about to enter the store, where it would be shown, exported and shared: the step fails instead. */
export function keptSecret(what: string, variable: string): NodeError {
  return new NodeError(`${what} holds the value of ${variable}, which is secret`, {
    hint: "see what writes it there, a program or the answer of a server; a value that is no secret goes into `env` or a parameter",
  });
}

/** What to do about the errors of a file system that a user can do something about. */
const fileSystemHints: Readonly<Record<string, string>> = {
  ENOSPC: "free some space, or run `ranflow cache gc`, or put the store on a larger disk with --store",
  EDQUOT: "the disk quota is used up: free some space, or put the store elsewhere with --store",
  EROFS: "the file system is read-only: choose another place for the store with --store",
  EACCES: "check the permissions of this path, or choose another place for the store with --store",
  EPERM: "check the permissions of this path, or choose another place for the store with --store",
  EMFILE: "too many files are open: raise the limit with `ulimit -n`",
  ENFILE: "too many files are open on this machine",
  EIO: "the disk or the network file system reported a fault: check it, then run again",
  ESTALE: "the network file system lost the file: run again",
};

/**
 * Puts whatever a step threw into words for the user.
 *
 * @param storeRoot where steps write, for errors that name no place of their own
 */
export function failureOf(thrown: unknown, nodeType: string, storeRoot?: string): Failure {
  const error = (typeof thrown === "object" && thrown !== null ? thrown : {}) as ErrorLike;
  const message = typeof error.message === "string" ? error.message : String(thrown);
  const hint = typeof error.hint === "string" ? { hint: error.hint } : {};
  const detail =
    typeof error.detail === "string"
      ? { detail: error.detail }
      : typeof error.stack === "string"
        ? { detail: withCauses(error) }
        : {};
  // By name, because a researcher's own node types may bring their own copy of the sdk.
  if (error.name === "NodeError") {
    return { error: { kind: "node", message, ...hint, ...detail }, transient: error.transient === true };
  }
  if (error.name === "StoreError") {
    return { error: { kind: "io", message, ...hint, ...detail }, transient: false };
  }
  const fix = typeof error.code === "string" ? fileSystemHints[error.code] : undefined;
  if (fix !== undefined) {
    const noPlace = typeof error.path !== "string" && storeRoot !== undefined;
    const place = noPlace ? `${message}, while working in the store ${storeRoot}` : message;
    return { error: { kind: "io", message: place, hint: fix, ...detail }, transient: false };
  }
  return {
    error: {
      kind: "internal",
      message:
        thrown instanceof UnwrittenOutput
          ? `the node type ${nodeType} finished, but ${message}`
          : `the node type ${nodeType} threw: ${message}`,
      hint: "this is a fault in the node type, not in your input; `ranflow log STEP` has the stack",
      ...detail,
    },
    transient: false,
  };
}

function withCauses(error: ErrorLike): string {
  const lines = [String(error.stack)];
  let cause = error.cause as ErrorLike | undefined;
  while (cause && typeof cause === "object" && lines.length < 5) {
    lines.push(`caused by: ${typeof cause.stack === "string" ? cause.stack : String(cause.message)}`);
    cause = cause.cause as ErrorLike | undefined;
  }
  return lines.join("\n");
}
