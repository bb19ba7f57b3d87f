import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { writeFile } from "node:fs/promises";

/**
 * Makes pictures drawn in this process use the font that comes with ranflow, so that text looks the same everywhere
 * and is there on machines without any font. It has to come before the first text is drawn: the library that finds
 * fonts reads its configuration once.
 *
 * @param folder for the configuration, and for what the library keeps
 */
export async function useOwnFonts(folder: string): Promise<void> {
  const fonts = join(dirname(createRequire(import.meta.url).resolve("dejavu-fonts-ttf/package.json")), "ttf");
  const file = join(folder, "fonts.conf");
  const escape = (path: string): string => path.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  await writeFile(
    file,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${escape(fonts)}</dir>` +
      `<cachedir>${escape(folder)}</cachedir></fontconfig>\n`,
  );
  process.env["FONTCONFIG_FILE"] = file;
}
