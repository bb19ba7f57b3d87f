import fc from "fast-check";
import { seed } from "./seed.ts";

fc.configureGlobal({ seed });

/** fast-check, drawing from the seed of the test run. */
export default fc;
