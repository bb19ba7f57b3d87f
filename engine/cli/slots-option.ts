import type { Slots } from "../run/slots.ts";
import { fail } from "./exit.ts";

const units: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** Overlays `cpu=2,gpu=1,memory=8GB,licence=3` on the machine's slots. Wrong texts end the command. */
export function overlaySlots(machine: Slots, text: string | undefined): Slots {
  let slots = machine;
  for (const part of (text ?? "").split(",").filter((piece) => piece.trim() !== "")) {
    const match = /^\s*([A-Za-z][\w-]*)\s*=\s*([\d.]+)\s*([A-Za-z]*)\s*$/.exec(part);
    const name = match?.[1] ?? "";
    const factor =
      name === "memory" ? units[(match?.[3] ?? "").toUpperCase()] : match?.[3] === "" ? 1 : undefined;
    const value = Number(match?.[2]) * (factor ?? NaN);
    if (
      !Number.isFinite(value) ||
      (name === "gpu" && !Number.isInteger(value)) ||
      (name === "cpu" && value <= 0)
    ) {
      return fail(`--slots: "${part.trim()}" is not understood; write it as cpu=2,gpu=1,memory=8GB,name=3`);
    }
    slots =
      name === "cpu" || name === "gpu" || name === "memory"
        ? { ...slots, [name]: value }
        : { ...slots, other: { ...slots.other, [name]: value } };
  }
  return slots;
}
