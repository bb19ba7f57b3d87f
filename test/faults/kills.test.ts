/** `kill -9` at random moments over a mixed graph: a few here, 200 with `npm run test:faults`. */
import { describe, expect, it } from "vitest";
import { randomStream } from "../../nodes/random.ts";
import { seed } from "../rig/seed.ts";
import { describeFault, drawFault } from "./fault.ts";
import { createLife, createReference } from "./life.ts";
import type { Life } from "./life.ts";
import { howMany } from "./settings.ts";

const kills = howMany({ short: 3, long: 200 });

describe("kill -9", () => {
  it(
    `at ${kills} random moments loses and repeats no finished step (RANFLOW_SEED=${seed})`,
    { timeout: 120_000 + kills * 30_000 },
    async () => {
      const random = randomStream(seed, "faults");
      const reference = await createReference();
      const counts = new Map<string, number>();
      const takeovers: number[] = [];
      const faults: string[] = [];
      let killed = 0;
      let rounds = 0;
      let lives = 0;
      let life: Life | undefined;
      while (killed < kills) {
        life ??= await createLife(reference);
        const fault = drawFault(random, reference.extent);
        rounds++;
        try {
          const round = await life.round(fault);
          if (round.killed) {
            killed++;
            const victim = fault.victim === "companion" ? fault.companion.command : fault.victim;
            counts.set(victim, (counts.get(victim) ?? 0) + 1);
          }
          if (round.takeover !== undefined) takeovers.push(round.takeover);
          if (!round.ended && killed < kills) continue;
          // Looking at everything takes as long as a few kills: in the suite, once.
          if (killed >= kills || kills >= 100) await life.end();
          lives++;
        } catch (error) {
          // One fault more or less: the others are looked for, too.
          killed++;
          faults.push(`round ${rounds}, ${describeFault(fault)}: ${(error as Error).message}`);
        }
        await life.remove();
        life = undefined;
      }
      const victims = [...counts].map(([victim, count]) => `${victim} ${count}`).join(", ");
      const longest =
        takeovers.length === 0
          ? ""
          : `; longest takeover of a dead process's step ${Math.max(...takeovers)} ms`;
      process.stdout.write(
        `${killed} kills (${victims}) in ${rounds} rounds over ${lives} whole graphs, seed ${seed}${longest}\n`,
      );
      expect(faults).toEqual([]);
    },
  );
});
