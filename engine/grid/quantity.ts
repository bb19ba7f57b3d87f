const number = String.raw`[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?`;
const plain = new RegExp(`^${number}$`);
const percent = new RegExp(`^(${number})\\s*%$`);
const quotient = new RegExp(`^(${number})\\s*/\\s*(${number})$`);

/** A quantity read from text, or what is wrong with it: `hint` is given where the text is a quantity of another unit. */
export type Quantity =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "wrong-unit"; readonly message: string; readonly hint: string }
  | { readonly kind: "no-quantity" };

/**
 * Reads a number that was written as text where a parameter expects one: `1e-4`, `30%`, `8/255`.
 *
 * @param unit the parameter's declared unit: `%` reads `30%` as 30, `ratio` reads it as 0.3 and `8/255` as a quotient
 */
export function parseQuantity(text: string, unit: string | undefined): Quantity {
  const trimmed = text.trim();
  if (plain.test(trimmed)) return { kind: "number", value: Number(trimmed) };
  const share = percent.exec(trimmed);
  if (share) {
    const value = Number(share[1]);
    if (unit === "%") return { kind: "number", value };
    if (unit === "ratio") return { kind: "number", value: value / 100 };
    return wrongUnit("a percentage", unit);
  }
  const ratio = quotient.exec(trimmed);
  if (!ratio) return { kind: "no-quantity" };
  const value = Number(ratio[1]) / Number(ratio[2]);
  if (unit !== "ratio") return wrongUnit("a ratio", unit);
  if (Number.isFinite(value)) return { kind: "number", value };
  return { kind: "wrong-unit", message: "divides by zero", hint: "write another denominator" };
}

function wrongUnit(what: string, unit: string | undefined): Quantity {
  return {
    kind: "wrong-unit",
    message: `is ${what}`,
    hint:
      unit === undefined
        ? "the parameter has no unit: write a plain number"
        : `the parameter's unit is ${unit}`,
  };
}
