import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { digestBytes } from "../../cache/hash.ts";
import { loadGrid } from "../../engine/load/index.ts";
import type { ArtifactRef } from "../../engine/model/artifact.ts";
import { fingerprintOf, keyOf, recipeKeyOf, recipeOf } from "../../engine/plan/fingerprint.ts";
import type { RecipeKey } from "../../engine/model/ids.ts";
import { testLibrary } from "../rig/library.ts";

const pipeline = `
name: pinned
seed: 11
axes:
  word: [alpha, beta, 10, 9]
  share: { none: 0, half: 50% }
  terms:
    probe: { method: probe }
    ran: { method: ran, alpha: 0.01 }
nodes:
  say: { type: test.write, with: { text: "say $(word)", times: 2, logEvery: 7 } }
  base: { type: test.write, with: { text: "é\\u2028\\"\\\\" } }
  mix:
    type: test.edit
    in: { text: say, other: base }
    with: { share: $(share) }
  train:
    type: test.seeded
    in: { text: mix }
    with: [{ epsilon: 8/255, epochs: 3 }, $(terms)]
  clean:
    type: test.edit
    in: { text: { from: mix, at: { share: none } }, other: mix }
    with: { share: 12.5 }
  table: { type: test.concat, in: { texts: { collect: train.text } } }
  some: { type: test.concat, in: { texts: { collect: train.text, over: [terms] } }, with: { coordinates: false } }
`;

it("keys and recipes are those of the first release, whatever a grid is made of", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-keys-"));
  try {
    const path = join(folder, "pinned.yaml");
    await writeFile(path, pipeline);
    const loaded = await loadGrid({ path, cwd: folder, library: testLibrary, sets: [], profiles: [] });
    if (!loaded.ok) throw new Error(loaded.error.map(({ message }) => message).join("\n"));
    const { steps } = loaded.value.grid;
    const outputs: Record<string, ArtifactRef>[] = [];
    const recipes: RecipeKey[] = [];
    const keys = steps.map((step) => {
      const fingerprint = fingerprintOf(step, (upstream) => outputs[upstream]);
      const key = fingerprint && keyOf(fingerprint);
      const ports = Object.keys(step.nodeType.outputs);
      outputs.push(
        Object.fromEntries(
          ports.map((port) => [port, { digest: digestBytes(`${key} ${port}`), kind: "file", size: 1 }]),
        ),
      );
      recipes.push(recipeKeyOf(recipeOf(step, (upstream) => recipes[upstream] as RecipeKey)));
      return `${step.id} ${key?.slice(0, 12)}`;
    });
    expect(steps).toHaveLength(46);
    expect(keys.filter((_, index) => index % 9 === 0)).toEqual([
      "say[word=alpha] 1ab036b30ba5",
      "mix[word=10,share=none] b7e9d8d8b677",
      "train[word=beta,share=none,terms=ran] 9c9ea54eff5d",
      "train[word=9,share=half,terms=probe] 857161fc6ed6",
      "clean[word=9,share=half] 95eb3a63fc16",
      "some[word=9,share=half] 24431277ffca",
    ]);
    // One digest over all of them.
    expect(digestBytes(keys.join("\n"))).toBe(
      "sha256:75b33010aaeee2dcf75fe1dff30816f6f9d0b1d30b48783d01e2e435875881bb",
    );
    expect(digestBytes(recipes.join("\n"))).toBe(
      "sha256:b066bc128a56574b66eb897dd0e1957874cda5719f65d3637b30e87971ded035",
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});
