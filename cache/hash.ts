import { createHash, hash } from "node:crypto";
import { open } from "node:fs/promises";
import type { Digest } from "../engine/model/ids.ts";
import type { Json } from "../engine/model/json.ts";
import { canonicalJson } from "./canonical.ts";

const bufferSize = 1 << 20;

/** SHA-256 of bytes, or of a text's UTF-8. */
export function digestBytes(bytes: Uint8Array | string): Digest {
  return `sha256:${hash("sha256", bytes, "hex")}` as Digest;
}

/** SHA-256 and size in bytes of a file, read in pieces of 1 MiB. File system errors are passed on. */
export async function digestFile(path: string): Promise<{ readonly digest: Digest; readonly size: number }> {
  const file = await open(path, "r");
  try {
    const sha = createHash("sha256");
    const buffer = Buffer.allocUnsafe(Math.min(bufferSize, (await file.stat()).size + 1));
    let size = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      sha.update(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
    return { digest: `sha256:${sha.digest("hex")}` as Digest, size };
  } finally {
    await file.close();
  }
}

/** `<64 hex>`: SHA-256 of the canonical JSON of `[domain, value]`, so that two kinds of record never meet. */
export function taggedHash(domain: string, value: Json): string {
  return hash("sha256", canonicalJson([domain, value]), "hex");
}

/** True for `sha256:<64 hex>`. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && /^sha256:[0-9a-f]{64}$/.test(text);
}
