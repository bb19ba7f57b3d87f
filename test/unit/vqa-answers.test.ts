import { describe, expect, it } from "vitest";
import { normaliseAnswer } from "../../nodes/vqa/answers.ts";
import { answerIntervals, measureAnswers, type GivenAnswer } from "../../nodes/vqa/measures.ts";

describe("normaliseAnswer", () => {
  it.each([
    ["Yes", "yes"],
    ["  Left   Lung. ", "left lung"],
    ["The right side", "right side"],
    ["Two", "2"],
    ["just one", "just 1"],
    ["T2", "t2"],
    ["An aneurysm of the aorta.", "aneurysm of aorta"],
    ["1.5 cm", "1.5 cm"],
    ["A", "a"],
    ["none", "none"],
  ])("%j is %j", (answer, wanted) => expect(normaliseAnswer(answer)).toBe(wanted));
});

describe("measureAnswers", () => {
  const answers = ["left", "no", "yes"];
  const given = (answer: string, told: string): GivenAnswer => ({ record: 0, answer, given: told, score: 1 });
  const scores = {
    rows: 5,
    cols: 3,
    data: Float64Array.of(0, 0.4, 0.6, 0.1, 0.7, 0.2, 0, 0.2, 0.8, 0, 0.1, 0.9, 0, 0, 1),
  };
  const asked = [
    given("yes", "yes"),
    given("no", "no"),
    given("no", "yes"),
    given("yes", "yes"),
    given("pa", "yes"),
  ];
  const measured = measureAnswers({ given: asked, answers, learnt: new Set(answers), scores });

  it("counts questions with unknown answers in coverage and in one of two accuracies", () => {
    expect(measured.covered).toBe(4);
    expect(measured.record).toMatchObject({ n: 5, coverage: 0.8, accDrop: 0.75, accWrong: 0.6 });
    expect(measured.record).toMatchObject({ accYesNo: 0.75, yesNo: 4, commonest: 0.5 });
  });

  it("takes the AUC of the answers that are right for some of them and wrong for others", () => {
    // yes: 0.6 and 0.9 against 0.2 and 0.8; no: 0.7 and 0.2 against 0.4 and 0.1; left is never right.
    expect(measured.perAnswer).toEqual({ "auc.no": 0.75, "auc.yes": 0.75 });
    expect(measured.record).toMatchObject({ auc: 0.75, answers: 3, excluded: 1 });
  });

  it("has intervals around them, over resampled questions", () => {
    const all = { given: asked, answers, learnt: new Set(answers), scores };
    const options = { bootstrap: 2000, confidence: 0.9, seed: 3 };
    const drop = answerIntervals(all, { unseen: "drop", ...options });
    expect(drop).toEqual(answerIntervals(all, { unseen: "drop", ...options }));
    // Three of four right: a resample of the four has none of them right in (1/4)^4 of all cases.
    expect(drop["accLow"]).toBeGreaterThan(0.2);
    expect(drop["accLow"]).toBeLessThan(0.75);
    expect(drop["accHigh"]).toBe(1);
    expect(drop["aucLow"]).toBeLessThan(0.75);
    expect(drop["aucHigh"]).toBe(1);
    const wrong = answerIntervals(all, { unseen: "wrong", ...options });
    // Of five questions the fifth is never right: all five are with a chance of (3/5)^5 = 0.08, above a tail of 0.05.
    expect(wrong["accHigh"]).toBe(1);
    expect(Number(wrong["accLow"])).toBeLessThan(Number(drop["accLow"]));
    expect(answerIntervals(all, { unseen: "drop", ...options, bootstrap: 0 })).toEqual({});
    const first = { ...all, given: asked.slice(0, 1) };
    expect(answerIntervals(first, { unseen: "drop", ...options })).toEqual({
      accLow: 1,
      accHigh: 1,
      aucLow: null,
      aucHigh: null,
    });
  });

  it("has no accuracy where no answer was learnt", () => {
    const unknown = measureAnswers({
      given: [given("pa", "yes")],
      answers,
      learnt: new Set(answers),
      scores,
    });
    expect(unknown.record).toMatchObject({
      accDrop: null,
      accWrong: 0,
      coverage: 0,
      auc: null,
      commonest: null,
    });
  });
});
