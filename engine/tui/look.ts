import type { StepPhase } from "../model/run-state.ts";

/** What one cell of a strip can show: a step's phase, or a bucket of steps of which some have their result. */
export type CellKind = StepPhase | "partial";

/** The characters the UI draws with. Every phase has its own, so that it reads without colour. */
export interface Glyphs {
  readonly cell: Readonly<Record<CellKind, string>>;
  readonly barFull: string;
  readonly barEmpty: string;
  /** From low to high. */
  readonly spark: readonly string[];
  readonly rule: string;
  readonly pointer: string;
  readonly ellipsis: string;
  readonly dot: string;
  readonly up: string;
  readonly down: string;
}

const unicodeGlyphs: Glyphs = {
  cell: {
    waiting: "·",
    queued: "○",
    running: "◆",
    succeeded: "■",
    cached: "□",
    shared: "▣",
    failed: "✗",
    skipped: "–",
    cancelled: "⊗",
    partial: "▒",
  },
  barFull: "━",
  barEmpty: "─",
  spark: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
  rule: "─",
  pointer: "❯",
  ellipsis: "…",
  dot: "·",
  up: "↑",
  down: "↓",
};

const asciiGlyphs: Glyphs = {
  cell: {
    waiting: ".",
    queued: "o",
    running: ">",
    succeeded: "#",
    cached: "=",
    shared: "%",
    failed: "X",
    skipped: "-",
    cancelled: "/",
    partial: "+",
  },
  barFull: "#",
  barEmpty: "-",
  spark: ["_", ".", "-", "=", "+", "*", "#"],
  rule: "-",
  pointer: ">",
  ellipsis: "~",
  dot: "-",
  up: "^",
  down: "v",
};

export type Color = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "gray";

/** How the UI looks on this terminal. */
export interface Look {
  readonly glyphs: Glyphs;
  readonly color: boolean;
}

/** Colours of cells: the terminal's own sixteen, so that the user's theme holds. */
export const cellColors: Readonly<Record<CellKind, Color>> = {
  waiting: "gray",
  queued: "blue",
  running: "yellow",
  succeeded: "green",
  cached: "cyan",
  shared: "cyan",
  failed: "red",
  skipped: "magenta",
  cancelled: "magenta",
  partial: "green",
};

export function createLook(options: { readonly unicode: boolean; readonly color: boolean }): Look {
  return { glyphs: options.unicode ? unicodeGlyphs : asciiGlyphs, color: options.color };
}

type Env = Readonly<Record<string, string | undefined>>;

/** True where the locale, as the C library reads it, is UTF-8; where none is set, on systems that have no other. */
export function isUnicodeTerminal(env: Env, platform: NodeJS.Platform): boolean {
  if (env["TERM"] === "linux" || env["TERM"] === "dumb") return false;
  const locale = env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"];
  if (!locale) return platform === "darwin" || env["WT_SESSION"] !== undefined;
  return /utf-?8/i.test(locale);
}

/** False where the user asks for no colours (no-color.org) or the terminal has none. */
export function hasColor(env: Env): boolean {
  if (env["NO_COLOR"]) return false;
  return env["TERM"] !== "dumb";
}
