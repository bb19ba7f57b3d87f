/** How the store can fail its user; `wrong-folder` is one that was named by mistake. `internal` is left to plain throws. */
export type StoreErrorCode =
  "no-space" | "read-only" | "denied" | "missing" | "damaged" | "wrong-folder" | "bad-output" | "io";

/** A problem of the store that the user can do something about. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;
  readonly hint: string;

  constructor(code: StoreErrorCode, message: string, options: { hint: string; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.name = "StoreError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** Turns a file system or index error into a `StoreError` that says what to do. A `StoreError` stays as it is. */
export function storeError(cause: unknown, doing: string, root: string): StoreError {
  if (cause instanceof StoreError) return cause;
  const code = errnoOf(cause);
  const message = `cannot ${doing} in the store ${root}`;
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new StoreError("no-space", `${message}: no space left`, {
        hint: "free space, run `ranflow cache gc`, or put the store elsewhere with --store; finished steps are kept",
        cause,
      });
    case "EROFS":
      return new StoreError("read-only", `${message}: the file system is read-only`, {
        hint: "choose a writable store with --store or RANFLOW_STORE",
        cause,
      });
    case "EACCES":
    case "EPERM":
      return new StoreError("denied", `${message}: permission denied`, {
        hint: "make the store writable for you, or choose another with --store or RANFLOW_STORE",
        cause,
      });
    case "EMFILE":
    case "ENFILE":
      return new StoreError("io", `${message}: too many open files`, { hint: "raise `ulimit -n`", cause });
    default:
      return new StoreError("io", `${message}: ${cause instanceof Error ? cause.message : String(cause)}`, {
        hint: "run `ranflow cache verify`, and check the disk",
        cause,
      });
  }
}

/** The error code of a file system error, or of an LMDB error, whose codes are system error numbers or negative. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "string") return code;
  // LMDB reports system errors by number (28) and a full map as -30792.
  const byNumber: Readonly<Record<number, string>> = {
    1: "EPERM",
    5: "EIO",
    13: "EACCES",
    28: "ENOSPC",
    30: "EROFS",
  };
  if (typeof code === "number" && byNumber[code]) return byNumber[code];
  if (typeof message === "string") {
    if (/no space left/i.test(message)) return "ENOSPC";
    if (/read-only file system/i.test(message)) return "EROFS";
    if (/permission denied/i.test(message)) return "EACCES";
  }
  return undefined;
}

/**
 * Whether an error is lmdb's "Commit failed". It rejects promises with that which nobody ever gets to see, besides those of
 * the writes that failed: as an unhandled rejection, it says nothing new.
 */
export function isCommitEcho(error: unknown): error is { readonly commitError: Promise<unknown> } {
  return typeof error === "object" && error !== null && "commitError" in error;
}

/** The read-only store's answer to every write. */
export function readOnlyError(root: string): StoreError {
  return new StoreError("read-only", `the store ${root} is open for reading only`, {
    hint: "choose a writable store with --store or RANFLOW_STORE",
  });
}
