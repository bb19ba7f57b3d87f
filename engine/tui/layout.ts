/** What there is to show, in rows or items. */
export interface Demand {
  readonly width: number;
  /** Rows of the terminal. */
  readonly height: number;
  /** Steps of each node, in order. */
  readonly nodes: readonly number[];
  readonly running: number;
  readonly failed: number;
  readonly queued: number;
  /** Nodes that executed anything. */
  readonly timed: number;
}

/** A pane's place: rows without its title; 0 rows where it is not shown. */
export interface PaneSize {
  readonly width: number;
  readonly rows: number;
}

/** What fits where. Rows and titles add up to `rows` exactly. */
export interface Layout {
  /** Rows of the whole frame: one less than the terminal has, so that nothing ever scrolls. */
  readonly rows: number;
  readonly width: number;
  /** Rows between header and footer. */
  readonly body: number;
  readonly columns: 1 | 2;
  readonly header: 0 | 1 | 2;
  readonly nodes: PaneSize;
  readonly failed: PaneSize;
  readonly running: PaneSize;
  readonly queue: PaneSize;
  readonly time: PaneSize;
  readonly log: PaneSize;
}

const wide = 130;
const tall = 18;
const gap = 3;

/** Divides the screen. Any size from 1 x 1 gives a valid layout. */
export function layout(demand: Demand): Layout {
  const rows = Math.max(1, demand.height - 1);
  const width = Math.max(1, demand.width);
  const header = rows >= 8 ? 2 : rows >= 3 ? 1 : 0;
  const footer = rows >= 3 ? 1 : 0;
  const body = rows - header - footer;
  const frame = { rows, width, body, header } as const;
  return width >= wide && body >= tall ? twoColumns(demand, frame) : oneColumn(demand, frame);
}

type Frame = Pick<Layout, "rows" | "width" | "body" | "header">;

function oneColumn(demand: Demand, frame: Frame): Layout {
  const { width } = frame;
  const sizes = divide(frame.body, [
    { name: "nodes", least: 1, want: demand.nodes.length, title: 1 },
    { name: "failed", least: 1, want: Math.min(2 * demand.failed, 6), title: 1 },
    { name: "running", least: 1, want: demand.running, title: 1 },
    { name: "log", least: 2, want: Number.POSITIVE_INFINITY, title: 1 },
  ]);
  const pane = (name: string): PaneSize => ({ width, rows: sizes.get(name) ?? 0 });
  const none = { width, rows: 0 };
  return {
    ...frame,
    columns: 1,
    nodes: pane("nodes"),
    failed: pane("failed"),
    running: pane("running"),
    queue: none,
    time: none,
    log: pane("log"),
  };
}

function twoColumns(demand: Demand, frame: Frame): Layout {
  const leftWidth = Math.floor((frame.width - gap) / 2);
  const rightWidth = frame.width - gap - leftWidth;
  const { cells } = nodeColumns(leftWidth, 16);
  const stripLines = demand.nodes.reduce((sum, size) => sum + Math.max(1, Math.ceil(size / cells)), 0);
  const left = divide(frame.body, [
    { name: "nodes", least: 3, want: Math.min(stripLines, Math.floor(frame.body * 0.6)), title: 1 },
    { name: "queue", least: 1, want: Math.min(demand.queued, 8), title: 2 },
    { name: "time", least: 1, want: Math.min(demand.timed, 10), title: 2 },
  ]);
  const right = divide(frame.body, [
    { name: "failed", least: 2, want: Math.min(2 * demand.failed, Math.floor(frame.body / 3)), title: 1 },
    { name: "running", least: 1, want: Math.min(demand.running, Math.floor(frame.body / 2)), title: 1 },
    { name: "log", least: 3, want: Number.POSITIVE_INFINITY, title: 1 },
  ]);
  return {
    ...frame,
    columns: 2,
    nodes: { width: leftWidth, rows: left.get("nodes") ?? 0 },
    queue: { width: leftWidth, rows: left.get("queue") ?? 0 },
    time: { width: leftWidth, rows: left.get("time") ?? 0 },
    failed: { width: rightWidth, rows: right.get("failed") ?? 0 },
    running: { width: rightWidth, rows: right.get("running") ?? 0 },
    log: { width: rightWidth, rows: right.get("log") ?? 0 },
  };
}

interface Wish {
  readonly name: string;
  readonly least: number;
  readonly want: number;
  /** Rows of the title, and of the space above it. */
  readonly title: number;
}

/** Rows of log that are worth as much as other panes' rows; the log takes what is left after that. */
const logShare = 3;

/**
 * Gives every wish its least while it lasts, then rows to each in turn, to the first two at a time, and what nobody
 * wants to the log.
 */
function divide(rows: number, wishes: readonly Wish[]): ReadonlyMap<string, number> {
  const given = new Map<string, number>();
  let left = rows;
  for (const wish of wishes) {
    const least = Math.min(wish.least, wish.want);
    if (least <= 0 || left < wish.title + least) continue;
    given.set(wish.name, least);
    left -= wish.title + least;
  }
  for (let changed = true; changed && left > 0;) {
    changed = false;
    wishes.forEach((wish, place) => {
      const has = given.get(wish.name);
      if (has === undefined) return;
      const most = Number.isFinite(wish.want) ? wish.want : logShare;
      const more = Math.min(place === 0 ? 2 : 1, left, Math.max(0, most - has));
      given.set(wish.name, has + more);
      left -= more;
      changed ||= more > 0;
    });
  }
  const open = wishes.find((wish) => !Number.isFinite(wish.want) && given.has(wish.name));
  if (open) given.set(open.name, (given.get(open.name) ?? 0) + left);
  return given;
}

/** Columns of a node row: pointer, name, strip and counts. */
export interface NodeColumns {
  readonly name: number;
  readonly cells: number;
  readonly counts: number;
}

/** Divides a node row of `width` columns; names are at most `longest` columns long. */
export function nodeColumns(width: number, longest: number): NodeColumns {
  const name = Math.max(1, Math.min(longest, 16, Math.floor(width * 0.3)));
  const counts = width >= 60 ? 19 : width >= 40 ? 12 : 8;
  return { name, counts, cells: Math.max(1, width - 3 - name - counts) };
}

/**
 * How many rows each node's strip gets: one each, and more where all nodes are in view and rows are left. Where
 * not even one each fits, the pane scrolls and each has one.
 */
export function stripHeights(sizes: readonly number[], cells: number, rows: number): readonly number[] {
  const needs = sizes.map((size) => Math.max(1, Math.ceil(size / Math.max(1, cells))));
  let heights = sizes.map(() => 1);
  for (let most = 2; most <= 12; most += 1) {
    const next = needs.map((need) => Math.min(need, most));
    if (next.reduce((sum, height) => sum + height, 0) > rows) break;
    heights = next;
  }
  return heights;
}

/** The part of a list that is in view: `selected` stays in sight, in the middle where it can. */
export function windowOf(
  count: number,
  rows: number,
  selected: number,
): { readonly from: number; readonly to: number } {
  if (count <= rows) return { from: 0, to: count };
  const from = Math.max(0, Math.min(count - rows, selected - Math.floor(rows / 2)));
  return { from, to: from + rows };
}
