/** How several values of one place become one. */
export const aggregates = ["error", "mean", "mean-sd", "mean-ci"] as const;

export type Aggregate = (typeof aggregates)[number];
