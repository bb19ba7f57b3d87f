import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeSafetensors, type StoredTensor } from "../../nodes/safetensors.ts";
import { createWorkspace, type Workspace } from "../rig/cli.ts";
import { floats, tensor, torchFile, type Pickled } from "../rig/torch-file.ts";

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

const ones = (...shape: number[]): StoredTensor => ({
  shape,
  data: new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(1),
});

/** Tensors of a ViT CLIP, as far as its architecture is told from them. */
const vit: readonly (readonly [string, StoredTensor])[] = [
  ["visual.class_embedding", ones(64)],
  ["visual.conv1.weight", ones(64, 3, 8, 8)],
  ["visual.positional_embedding", ones(17, 64)],
  ["visual.transformer.resblocks.0.ln_1.weight", ones(64)],
  ["visual.transformer.resblocks.1.ln_1.weight", ones(64)],
  ["visual.proj", ones(64, 48)],
  ["token_embedding.weight", ones(512, 64)],
  ["positional_embedding", ones(77, 64)],
  ["transformer.resblocks.0.ln_1.weight", ones(64)],
  ["ln_final.weight", ones(64)],
  ["text_projection", ones(64, 48)],
];

async function folder(
  name: string,
  files: Readonly<Record<string, readonly (readonly [string, StoredTensor])[]>>,
): Promise<string> {
  const path = join(workspace.folder, name);
  await mkdir(path);
  for (const [file, tensors] of Object.entries(files)) await writeSafetensors(join(path, file), tensors);
  return path;
}

describe("ranflow model inspect", () => {
  it("says what a checkpoint's folder holds, repeated layers in one line", async () => {
    const path = await folder("vit", { "open_clip_model.safetensors": vit, "other.safetensors": [] });
    await writeFile(join(path, "merges.txt"), "#version: 0.2\n");
    const { stdout, exitCode } = await workspace.run(["model", "inspect", path]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/file +open_clip_model\.safetensors: safetensors, 2\d\d kB\n/);
    expect(stdout).toMatch(/tensors +11 \(F32 11\)\n +parameters +[\d,]+\n +model +CLIP with a ViT/);
    expect(stdout).toContain("image_size 32, layers 2, width 64");
    expect(stdout).toMatch(/same folder +merges\.txt\n +problems +none\n/);
    expect(stdout).toMatch(/visual\.transformer\.resblocks\.\*\.ln_1\.weight +F32 +\[64\] +x 2$/m);
    const all = await workspace.run(["model", "inspect", path, "--all"]);
    expect(all.stdout).toMatch(/visual\.transformer\.resblocks\.1\.ln_1\.weight +F32 +\[64\]$/m);
  });

  it("gives wrappers, prefixes and problems of a training checkpoint, as JSON too", async () => {
    const path = join(workspace.folder, "train.safetensors");
    const weights = new Map([
      ["module.visual.trunk.cls_token", tensor({ key: "0", count: 2, shape: [2] })],
      ["module.logit_scale", tensor({ key: "0", count: 2, shape: [], offset: 1 })],
    ]);
    await writeFile(
      path,
      torchFile(
        new Map<Pickled, Pickled>([
          ["epoch", 3],
          ["state_dict", weights],
        ]),
        { 0: floats(NaN, 1) },
      ),
    );
    const { stdout } = await workspace.run(["model", "inspect", path, "--json", "--verify"]);
    expect(JSON.parse(stdout)).toMatchObject({
      files: [{ container: "torch-zip", wrapper: ["state_dict"], beside: ["epoch"], tensors: 2 }],
      dtypes: { F32: 2 },
      parameters: 3,
      prefix: "module.",
      model: { format: expect.stringContaining("BiomedCLIP") },
      problems: [
        "train.safetensors is torch-zip by its content, whatever its name says",
        "module.visual.trunk.cls_token has 1 values that are not finite, of 2",
      ],
    });
  });

  it("takes the files of a split checkpoint together, and misses shards", async () => {
    const split = await folder("split", {
      "image_encoder.safetensors": [["attnpool.positional_embedding", ones(2, 2)]],
      "text_encoder.safetensors": [["embeddings.word_embeddings.weight", ones(2, 2)]],
    });
    expect((await workspace.run(["model", "inspect", split])).stdout).toMatch(
      /model +PMC-CLIP in split files/,
    );
    const shards = await folder("shards", {
      "model-00001-of-00002.safetensors": [["vision_model.embeddings.class_embedding", ones(2)]],
    });
    expect((await workspace.run(["model", "inspect", shards])).stdout).toMatch(
      /model +Hugging Face CLIP\n[^]*problem +model-00002-of-00002\.safetensors is missing/,
    );
  });

  it("says why a file is none, and what to do", async () => {
    await workspace.write("page.pt", "<html>Sign in</html>");
    const { exitCode, stderr } = await workspace.run(["model", "inspect", "page.pt"]);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(
      /^error: page\.pt is no checkpoint: it is a web page.*\n {2}Download the file again/,
    );
  });
});
