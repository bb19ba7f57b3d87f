/** Mean over labels, and how many of them had no value. */
export interface MacroMean {
  /** Null where no label has a value. */
  readonly mean: number | null;
  /** Indices of the labels left out. */
  readonly excluded: readonly number[];
}

/** The unweighted mean over labels that have a value; null values (one-class labels) are left out and reported. */
export function macroMean(values: readonly (number | null)[]): MacroMean {
  const present = values.filter((value) => value !== null);
  return {
    mean: present.length === 0 ? null : present.reduce((sum, value) => sum + value, 0) / present.length,
    excluded: values.flatMap((value, index) => (value === null ? [index] : [])),
  };
}
