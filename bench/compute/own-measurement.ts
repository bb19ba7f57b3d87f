import { ownMeasurements } from "./findings.ts";

/** A process that makes one measurement of our own, whose name is its argument, and prints what it found as JSON. */
const wanted = process.argv.at(-1);
const found = ownMeasurements.find(({ name }) => name === wanted);
if (!found) throw new Error(`there is no measurement ${wanted}`);
console.log(JSON.stringify(await found.measure()));
process.exit(0);
