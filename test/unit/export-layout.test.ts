import { describe, expect, it } from "vitest";
import { layoutOf } from "../../engine/cli/export/layout.ts";

const layout = (...paths: readonly string[]): readonly string[] => [...layoutOf(paths, "/home/me").values()];

describe("where an export puts a pipeline's files", () => {
  it("is where they are to each other", () => {
    expect(layout("/home/me/lab/p.yaml")).toEqual(["p.yaml"]);
    expect(layout("/home/me/lab/tables/p.yaml", "/home/me/lab/shared/data.yaml")).toEqual([
      "tables/p.yaml",
      "shared/data.yaml",
    ]);
    expect(layout("/home/me/p.yaml", "/home/me/lib/x.ts")).toEqual(["p.yaml", "lib/x.ts"]);
    expect(layout("/data/lab/p.yaml", "/data/common/q.yaml")).toEqual(["lab/p.yaml", "common/q.yaml"]);
  });

  it("tells nothing of the way to the home folder", () => {
    expect(layout("/home/me/lab/p.yaml", "/opt/shared/data.yaml", "/home/you/data.yaml")).toEqual([
      "p.yaml",
      "elsewhere/1-data.yaml",
      "elsewhere/2-data.yaml",
    ]);
    expect(layout("/home/p.yaml", "/home/me/q.yaml")).toEqual(["p.yaml", "elsewhere/1-q.yaml"]);
  });

  it("of no files is empty", () => expect(layout()).toEqual([]));
});
