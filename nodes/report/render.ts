import { compile, type TopLevelSpec } from "vega-lite";
import { parse, resetSVGDefIds, View, Warn, type LoggerInterface } from "vega";

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
