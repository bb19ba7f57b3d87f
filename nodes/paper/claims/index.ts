import { printedRows } from "../printed-rows.ts";
import { printedTables } from "../tables.ts";
import { attackUp } from "./attack-up.ts";
import { evaluateClaim, type Claim, type ClaimResult } from "./claim.ts";
import { factsOf, type Facts } from "./facts.ts";
import { idDrop } from "./id-drop.ts";
import { idGain } from "./id-gain.ts";
import { imageStronger } from "./image-stronger.ts";
import { nmtune } from "./nmtune.ts";
import { oodMonotone } from "./ood-monotone.ts";
import { order } from "./order.ts";
import { ranGain, ranGainOod } from "./ran-gain.ts";
import { randomWorse } from "./random-worse.ts";

/** The paper's claims, in its order. */
const claims: readonly Claim[] = [
  idGain(5),
  idGain(10),
  idDrop,
  oodMonotone,
  imageStronger,
  order,
  ranGain,
  ranGainOod,
  randomWorse,
  nmtune,
  attackUp,
];

/** What came of every claim. */
export function evaluateClaims(facts: Facts): readonly ClaimResult[] {
  return claims.map((claim) => evaluateClaim(claim, facts));
}

/** What comes of every claim on the numbers that the paper prints. */
export function claimsInPrint(): readonly ClaimResult[] {
  return evaluateClaims(factsOf(Object.values(printedTables).flatMap((table) => printedRows(table))));
}
