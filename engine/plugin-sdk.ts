/** What a plugin imports as `ranflow/sdk`: all that a node type is made of, and the zod that checks its parameters. */
export * from "./sdk.ts";
export { z } from "zod";
