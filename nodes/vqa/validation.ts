import { NodeError } from "../../engine/sdk.ts";
import { predictLogits } from "../heads/compute.ts";
import type { HeadShape, HeadWeights } from "../heads/head.ts";
import { argmaxAccuracy } from "../metrics/accuracy.ts";
import type { Tokens } from "../tokens.ts";
import { askedRecords } from "./answers.ts";
import { fuseRows } from "./batch.ts";
import type { FusionModel } from "./fusion.ts";
import type { VqaParams } from "./params.ts";

/** Questions that epochs are compared by. */
export interface ValidationQuestions {
  readonly tokens: Tokens;
  readonly rows: readonly number[];
  /** Index of each one's answer among those that are learnt. */
  readonly classes: Int32Array;
}

/**
 * The validation questions whose answer is learnt.
 *
 * @param label index of each learnt answer
 * @throws NodeError where there is none, or the tokens are of another encoder than the training tokens
 */
export function validationQuestions(
  val: Tokens,
  train: Tokens,
  label: ReadonlyMap<string, number>,
  { closedOnly }: VqaParams,
): ValidationQuestions {
  if (val.image.width !== train.image.width || val.text.width !== train.text.width) {
    throw new NodeError(
      `training tokens have ${train.image.width} and ${train.text.width} values and validation tokens ${val.image.width} and ${val.text.width}`,
      { hint: "Bind both to the same clip.embed-questions node." },
    );
  }
  const asked = askedRecords(val, closedOnly).filter(({ answer }) => label.has(answer));
  const { dataset, split } = val.header;
  if (asked.length === 0) {
    throw new NodeError(`no question of ${dataset} (${split}) has an answer that is learnt`, {
      hint: "Bind val to the validation split of the training questions, or use selection last.",
    });
  }
  return {
    tokens: val,
    rows: asked.map(({ row }) => row),
    classes: Int32Array.from(asked, ({ answer }) => label.get(answer)!),
  };
}

/** Share of the questions that are answered rightly. */
export async function validationAccuracy(
  model: FusionModel,
  head: { readonly shape: HeadShape; readonly weights: HeadWeights },
  { classes, rows, tokens }: ValidationQuestions,
  options: Parameters<typeof fuseRows>[3],
): Promise<number> {
  const h = await fuseRows(model, tokens, rows, options);
  const logits = predictLogits({ runtime: model.ops.runtime, ...head }, h);
  return argmaxAccuracy(logits.data, classes, logits.cols) ?? 0;
}
