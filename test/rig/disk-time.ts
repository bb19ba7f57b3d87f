/** Limit of a test that makes thousands of results, each of which the disk has to have before the next; ms. */
export const diskTime = 900_000;
