import type { Scalar } from "./json.ts";
import type { Digest } from "./ids.ts";

/**
 * The immutable value of an output port. A file's digest is the SHA-256 of its bytes. A folder's digest is the
 * SHA-256 of its manifest, a canonical JSON object stored under that digest.
 */
export interface ArtifactRef {
  readonly digest: Digest;
  readonly kind: "file" | "folder";
  /** Bytes of the file, or of all files of the folder. */
  readonly size: number;
}

/** Bytes named by content: what records hold in place of an image's path. */
export interface BlobRef {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Manifest of a folder artifact: relative POSIX paths, sorted, with what they hold. */
export interface FolderManifest {
  readonly files: Readonly<Record<string, BlobRef>>;
}

/** Axis labels (and scalar fields of map-valued axes, as `axis.field`) of a collected artifact. */
export type Coordinates = Readonly<Record<string, Scalar>>;
