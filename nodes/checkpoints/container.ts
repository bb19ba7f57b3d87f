import { NodeError } from "../../engine/sdk.ts";
import { readExactly, type OpenFile } from "./file.ts";

/**
 * Tells the container of a checkpoint by its first bytes, whatever the file is called.
 *
 * @throws NodeError that says what the file is instead, where that is known
 */
export async function recogniseContainer(file: OpenFile): Promise<"safetensors" | "zip" | "pickle"> {
  const { path, size } = file;
  if (size === 0)
    throw new NodeError(`${path} is empty (0 bytes)`, { hint: "Download or copy the file again." });
  const head = Buffer.from((await readExactly(file, 0, Math.min(size, 512))) ?? []);
  if (head.subarray(0, 2).toString("latin1") === "PK") return "zip";
  // The length of the header in 8 bytes, then the header, which is a JSON object. Its reader explains the rest.
  if (size < 8 || (head.readUInt32LE(4) === 0 && head[8] === 0x7b)) return "safetensors";
  if (head[0] === 0x80 && (head[1] ?? 0) <= 5) return "pickle";
  const instead = others.find(([looks]) => looks.test(head.toString("latin1")));
  throw new NodeError(
    `${path} is no checkpoint: ${instead ? instead[1] : "it is neither safetensors nor a file of torch.save"}`,
    { hint: instead?.[2] ?? "Give a .safetensors, .pt, .pth or .bin file with a model's weights." },
  );
}

/** What lies where a checkpoint should be: how it begins, what it is, what to do. */
const others: readonly (readonly [RegExp, string, string])[] = [
  [
    /^version https:\/\/git-lfs/,
    "it is a pointer of Git LFS, the file itself was not fetched",
    "Fetch it with `git lfs pull` in its repository.",
  ],
  [
    /^\s*<(!doctype|html|\?xml)/i,
    "it is a web page, probably the answer to a download that failed",
    "Download the file again, logged in where the site asks for it.",
  ],
  // oxlint-disable-next-line no-control-regex
  [/^\x1f\x8b/, "it is compressed with gzip", "Unpack it first, with gunzip or tar."],
  [
    /^.{257}ustar/s,
    "it is a tar archive",
    "Unpack it first; PyTorch before 0.1.10 wrote such files, which are not read.",
  ],
  [/^\x89HDF/, "it is an HDF5 file (Keras)", "Give the PyTorch or safetensors weights of the model."],
  [/^\s*[[{]/, "it is JSON", "Give the weights, which lie beside it."],
];
