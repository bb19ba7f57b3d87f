import { StoreError, errnoOf } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** A problem of the shared folder, not of the store. */
export class RemoteError extends StoreError {}

/** A problem of a shared folder, with what to do about it. */
export function problem(code: StoreErrorCode, message: string, hint: string, cause?: unknown): RemoteError {
  return new RemoteError(code, message, { hint, cause });
}

/** A file that is not what it should be: torn, changed, or made to deceive. */
export function notTaken(path: string, why: string): RemoteError {
  const hint = "remove the file; whoever has the result can push it again";
  return problem("damaged", `${path} is not taken: it ${why}`, hint);
}

/** A file that is larger than anything of its kind. */
export function tooLarge(path: string, size: number): RemoteError {
  return notTaken(path, `has ${size} bytes, too many for what it should be`);
}

/** Turns a file system error into one that names the shared folder and says what to do. */
export function remoteError(cause: unknown, doing: string, root: string): StoreError {
  if (cause instanceof StoreError) return cause;
  const message = `cannot ${doing} the shared folder ${root}`;
  switch (errnoOf(cause)) {
    case "ENOSPC":
    case "EDQUOT":
      return problem("no-space", `${message}: no space left`, "free space there", cause);
    case "EROFS":
    case "EACCES":
    case "EPERM": {
      const hint = "ask its owner to let your group write (`chmod -R g+w`, and `chmod g+s` on the folders)";
      return problem("denied", `${message}: permission denied`, hint, cause);
    }
    case "EEXIST":
    case "ENOTDIR":
      return problem("wrong-folder", `${message}: it is no folder`, "name a folder", cause);
    default: {
      const said = cause instanceof Error ? cause.message : String(cause);
      return problem("io", `${message}: ${said}`, "is the disk or network file system there?", cause);
    }
  }
}
