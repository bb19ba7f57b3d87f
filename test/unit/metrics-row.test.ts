import { describe, expect, it } from "vitest";
import type { StepId } from "../../engine/model/ids.ts";
import { metricsRow } from "../../engine/run/metrics-row.ts";

const step = "tune[step=a]" as StepId;

describe("a row of metrics", () => {
  it("says which step and which labels, whatever was measured", () => {
    const measured = { step: 1000, result: "good", gamma: 3, "axis.step": 4, auc: 0.5 };
    const row = metricsRow({ step, result: "current" }, { step: "a" }, measured, ["step", "gamma"]);
    expect({ ...row }).toEqual({
      step,
      result: "current",
      "axis.step": "a",
      "measured.step": 1000,
      "measured.result": "good",
      "measured.gamma": 3,
      "measured.axis.step": 4,
      auc: 0.5,
    });
  });

  it("keeps apart all that was measured, and takes no name for what every object has", () => {
    const row = metricsRow({ step }, {}, { step: 1, "measured.step": 2, valueOf: 3 }, []);
    expect({ ...row }).toEqual({ step, "measured.measured.step": 1, "measured.step": 2, valueOf: 3 });
    expect(metricsRow({ step }, {}, {}, [])["valueOf"]).toBeUndefined();
  });
});
