import { compile, type TopLevelSpec } from "vega-lite";
import { parse, resetSVGDefIds, View, Warn, type LoggerInterface } from "vega";
import sharp from "sharp";
import { figureFont } from "./figure-spec.ts";
import { useOwnFonts } from "./fonts.ts";

/** Pixels of the PNG per pixel of the SVG. */
const pngScale = 2;

/** Dots per inch at which the SVG library draws one pixel per pixel. */
const plainDensity = 72;

/**
 * Draws a specification as SVG text. The same specification gives the same text.
 *
 * @param warn takes what Vega finds odd, one line each
 */
export async function renderSvg(spec: TopLevelSpec, warn: (message: string) => void): Promise<string> {
  const logger = quietLogger(warn);
  const { spec: full } = compile(spec, { logger });
  // Names of clip paths count on from one drawing to the next.
  resetSVGDefIds();
  const view = new View(parse(full), { renderer: "none", logger, logLevel: Warn });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Draws SVG text as a PNG at twice its size, with ranflow's own font. */
export async function renderPng(svg: string, scratch: string): Promise<Uint8Array> {
  await useOwnFonts(scratch);
  // The font library takes a list of families for one name, where the first is at hand anyway.
  const own = svg.replaceAll(figureFont, figureFont.split(",")[0] as string);
  return sharp(Buffer.from(own), { density: plainDensity * pngScale })
    .png({ compressionLevel: 9 })
    .toBuffer();
}

/** Vega's own logger writes to the console. */
function quietLogger(warn: (message: string) => void): LoggerInterface {
  const say = (...messages: readonly unknown[]): LoggerInterface => {
    warn(messages.map(String).join(" "));
    return logger;
  };
  const level = ((value?: number) => (value === undefined ? Warn : logger)) as LoggerInterface["level"];
  const logger: LoggerInterface = { level, error: say, warn: say, info: () => logger, debug: () => logger };
  return logger;
}
