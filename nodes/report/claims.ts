import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CollectedArtifact, OutputArtifact, RunContext } from "../../engine/sdk.ts";
import { claimsInPrint, evaluateClaims } from "../paper/claims/index.ts";
import { factsOf } from "../paper/claims/facts.ts";
import { claimsLatex, claimsMarkdown, type ClaimPair } from "../paper/claims/text.ts";
import { writeTable } from "../records.ts";
import { readRows, type ReportRow } from "./rows.ts";

interface Context extends Pick<RunContext, "log"> {
  readonly params: { readonly title: string };
  readonly inputs: Readonly<Record<"rows" | "tables", readonly CollectedArtifact[] | undefined>>;
  readonly outputs: Readonly<Record<"report" | "table", OutputArtifact>>;
}

/** The work of `report.claims`. */
export async function writeClaims({ inputs, log, outputs, params: { title } }: Context): Promise<void> {
  const records = await readAll(inputs);
  const facts = factsOf(records.map(({ at, fields }) => ({ ...fields, ...at })));
  const inPrint = claimsInPrint();
  const pairs = evaluateClaims(facts).map((ours, i): ClaimPair => ({ ours, print: inPrint[i]! }));
  const write = (name: string, text: string): Promise<void> =>
    writeFile(join(outputs.report.path, name), text);
  await write("claims.md", claimsMarkdown(pairs, title));
  await write("claims.tex", claimsLatex(pairs, title));
  await write("claims.json", `${JSON.stringify(pairs.map(jsonClaim), undefined, 2)}\n`);
  await writeTable(
    outputs.table.path,
    pairs.map(({ ours, print }) => ({
      claim: ours.id,
      statement: ours.statement,
      verdict: ours.verdict,
      holding: ours.holding,
      measured: ours.measured,
      of: ours.of,
      inPrint: print.verdict,
    })),
  );
  for (const { ours } of pairs) {
    log(
      `${ours.id}: ${ours.verdict}, ${ours.holding} of ${ours.measured} comparisons measured (of ${ours.of})`,
    );
  }
}

async function readAll(inputs: Context["inputs"]): Promise<readonly ReportRow[]> {
  const tables = inputs.tables ?? [];
  if (tables.length === 0) return readRows({ rows: inputs.rows, table: undefined });
  const read = tables.map(({ artifact }) => readRows({ rows: undefined, table: artifact }));
  const rows = inputs.rows?.length ? await readRows({ rows: inputs.rows, table: undefined }) : [];
  return [...rows, ...(await Promise.all(read)).flat()];
}

function jsonClaim({ ours, print }: ClaimPair): object {
  const { holding, measured, of, verdict } = print;
  return { ...ours, inPrint: { verdict, holding, measured, of } };
}
