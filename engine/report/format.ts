/** `850 ms`, `4.2 s`, `1m 05s`, `2h 04m`, `3d 07h`. */
export function formatDuration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return "?";
  const ms = Math.max(0, milliseconds);
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
  return `${Math.floor(minutes / 1440)}d ${pad(Math.floor((minutes % 1440) / 60))}h`;
}

/** A duration that is only estimated: no fractions of a second. */
export function formatEstimate(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  return seconds < 60 ? `${seconds} s` : formatDuration(seconds * 1000);
}

/** A clock that does not jump about: `0:07`, `12:40`, `1:02:09`. */
export function formatClock(milliseconds: number): string {
  const seconds = Math.floor(Math.max(0, milliseconds) / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}:${pad(seconds % 60)}`
    : `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}`;
}

/** `7`, `12,345`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 step`, `12 steps`. */
export function plural(count: number, noun: string, many: string = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : many}`;
}

/** Units per second as people read it: `41 images/s`, `3.2 steps/s`, `12 captions/min`. */
export function formatRate(perSecond: number, unit = ""): string {
  const noun = unit === "" ? "" : ` ${unit}s`;
  if (perSecond >= 9.95) return `${formatCount(perSecond)}${noun}/s`;
  if (perSecond >= 1) return `${perSecond.toFixed(1)}${noun}/s`;
  const perMinute = perSecond * 60;
  if (perMinute >= 1) return `${perMinute.toFixed(perMinute >= 9.95 ? 0 : 1)}${noun}/min`;
  return `${(perMinute * 60).toFixed(1)}${noun}/h`;
}

/** `512 B`, `3.4 MB`: decimal units, as disks are sold. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A percentage without decimals that says 100 only when nothing is left, and 0 only where nothing is. */
export function formatPercent(share: number): string {
  const percent = Math.max(0, Math.min(100, share * 100));
  if (percent > 0 && percent < 0.5) return "<1%";
  return `${percent < 100 ? Math.min(99, Math.round(percent)) : 100}%`;
}

/** A measured value in at most six characters or so: `0.6931`, `12.41`, `3.0e-5`. */
export function formatValue(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4);
}

/** Text that cannot move the cursor, change colours or ring: control characters and escape sequences are taken out. */
export function printable(text: string): string {
  return (
    text
      // oxlint-disable-next-line no-control-regex -- these are the characters to take out
      .replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g, "")
      .replace(/\t/g, "  ")
      // oxlint-disable-next-line no-control-regex -- these are the characters to take out
      .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "")
  );
}

/**
 * Text that cannot act on a terminal: control characters, and what turns the direction of writing, are written out as
 * JSON does, `\u001b`; in JSON they mean the same as before. Newlines and tabs stay, and with `color` what sets colours
 * and weights.
 */
export function inert(text: string, { color }: { readonly color: boolean }): string {
  if (!acting.test(text)) return text;
  return text.replace(color ? actingBesideStyles : allActing, (found) =>
    found.length > 1 ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

// oxlint-disable-next-line no-control-regex -- these are the characters to write out
const acting = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const allActing = new RegExp(acting.source, "g");
const actingBesideStyles = new RegExp(`\\u001b\\[[0-9;]*m|${acting.source}`, "g");

/** The lines of a text, each printable. */
export function printableLines(text: string): readonly string[] {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(/\n+$/, "")
    .split("\n")
    .map((line) => printable(line));
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** `12 of 316 steps selected, and 30 that they need`: a part of a grid, in all of `total` steps. */
export function selectionWords(
  { of, selected }: { readonly selected: number; readonly of: number },
  total: number,
): string {
  const words = `${formatCount(selected)} of ${formatCount(of)} steps selected`;
  return total > selected ? `${words}, and ${formatCount(total - selected)} that they need` : words;
}
