export { startTui } from "./start.ts";
export type { TuiOptions } from "./start.ts";
