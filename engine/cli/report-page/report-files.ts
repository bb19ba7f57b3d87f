import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import type { Store } from "../../../cache/types.ts";
import type { ArtifactRef } from "../../model/artifact.ts";
import type { PageImage, PageReport } from "../../report/page/page-data.ts";

/** What a page shows of a report's files. */
type Shown = Pick<PageReport, "gone" | "images" | "texts">;

/** Pictures, the ones that stay sharp first. */
const mediaTypes: Readonly<Record<string, string>> = {
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".webp": "image/webp",
};

/** Reads the Markdown and the pictures of a report; of one picture in several formats, the best. */
export async function reportFiles(store: Store, artifact: ArtifactRef): Promise<Shown> {
  if (!(await store.objects.complete(artifact).catch(() => false)))
    return { gone: true, images: [], texts: [] };
  const { files } = await store.objects.manifest(artifact.digest);
  const read = async (name: string): Promise<Buffer> =>
    readFile(store.objects.path(files[name]?.digest ?? artifact.digest));
  const names = Object.keys(files);
  const texts = names.filter((name) => extname(name) === ".md");
  return {
    gone: false,
    texts: await Promise.all(texts.map(async (name) => (await read(name)).toString("utf8"))),
    images: await Promise.all(
      picturesOf(names).map(async (name): Promise<PageImage> => ({
        name,
        mediaType: mediaTypes[extname(name)] ?? "",
        base64: (await read(name)).toString("base64"),
      })),
    ),
  };
}

function picturesOf(names: readonly string[]): readonly string[] {
  const stem = (name: string): string => name.slice(0, -extname(name).length);
  const best = new Map<string, string>();
  for (const extension of Object.keys(mediaTypes)) {
    for (const name of names)
      if (extname(name) === extension && !best.has(stem(name))) best.set(stem(name), name);
  }
  return [...best.values()].toSorted();
}
