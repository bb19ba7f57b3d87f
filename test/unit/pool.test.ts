import { describe, expect, it } from "vitest";
import { mapLimit } from "../../cache/pool.ts";

describe("mapLimit", () => {
  it("keeps the order of the items and the limit", async () => {
    let running = 0;
    let most = 0;
    const results = await mapLimit([3, 1, 2, 0], 2, async (turns) => {
      most = Math.max(most, ++running);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      running--;
      return turns * 10;
    });
    expect(results).toEqual([30, 10, 20, 0]);
    expect(most).toBe(2);
  });

  it("tells of the first item that failed, whichever failed first, when nothing is under way", async () => {
    const { promise: secondFailed, reject: failSecond } = Promise.withResolvers<never>();
    const begun: string[] = [];
    const work = async (name: string): Promise<void> => {
      begun.push(name);
      if (name === "second") {
        failSecond(new Error("second"));
        await secondFailed;
      }
      await secondFailed.catch(() => undefined);
      throw new Error(name);
    };
    await expect(mapLimit(["first", "second", "third"], 2, work)).rejects.toThrow("first");
    expect(begun).toEqual(["first", "second"]);
  });
});
