import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { setTimeout as wait } from "node:timers/promises";
import { findStoreRoot } from "../../../cache/find.ts";
import type { RunEvent } from "../../model/events.ts";
import { findRun, readEvents } from "../event-log.ts";
import { fail } from "../exit.ts";
import { defaultUi } from "../reporter.ts";
import type { UiKind } from "../reporter.ts";
import { viewReporter } from "../view-run.ts";

/** Nobody wants to sit through the hours in which one step trained. */
const longestPause = 1500;

interface ReplayOptions {
  readonly store?: string;
  readonly ui?: UiKind;
  readonly speed?: number;
}

/** `ranflow replay RUN`: shows a finished run again, faster than it was. */
export function register(program: Command): void {
  program
    .command("replay")
    .summary("show a past run again, from its event log")
    .description(
      "Shows a past run again, from its event log alone: nothing runs. Pauses are cut to 1.5 s. Lines (--ui plain, json) " +
        "come at once unless --speed is given.",
    )
    .argument("[run]", "id of the run, how it begins, or a tag; the newest one unless given")
    .option("--speed <n>", "so many times as fast as it was (10 unless given)", positive)
    .option("--store <dir>", "the store the run wrote to")
    .addOption(new Option("--ui <kind>", "how to show it").choices(["ink", "plain", "json"]))
    .action(async (name: string | undefined, options: ReplayOptions) => {
      const store = findStoreRoot({ flag: options.store, env: process.env, cwd: process.cwd() });
      const run = await findRun(store, name);
      if (!run.ok) return fail(run.error);
      const ui = options.ui ?? defaultUi();
      const speed = options.speed ?? (ui === "ink" ? 10 : Number.POSITIVE_INFINITY);
      const events: RunEvent[] = [];
      const whole = { follow: false, signal: new AbortController().signal };
      await readEvents(run.value.path, { ...whole, onEvents: (more) => events.push(...more) });
      const clock = createReplayClock(speed);
      const { signal, reporter } = await viewReporter({ ui, clock: clock.now });
      for (const event of events) {
        await clock.reach(event.t, signal);
        if (signal.aborted) break;
        reporter.event(event);
      }
      await reporter.close();
    });
}

interface ReplayClock {
  /** The time in the replayed run, ms since the epoch. */
  now(): number;
  /** Waits until the run's time has come to `t`. */
  reach(t: number, signal: AbortSignal): Promise<void>;
}

function createReplayClock(speed: number): ReplayClock {
  let base = { run: 0, real: Date.now() };
  let target = 0;
  const now = (): number =>
    Math.min(target, Number.isFinite(speed) ? base.run + (Date.now() - base.real) * speed : target);
  return {
    now,
    async reach(t, signal) {
      if (target === 0 || !Number.isFinite(speed)) {
        base = { run: t, real: Date.now() };
        target = t;
        return;
      }
      const before = now();
      target = Math.max(target, t);
      const pause = (t - before) / speed;
      // A timer is coarser than most gaps: what is due within it is shown at once.
      if (pause > 4) await wait(Math.min(pause, longestPause), undefined, { signal }).catch(() => undefined);
      if (pause > longestPause) base = { run: t, real: Date.now() };
    },
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected a number above 0");
  return value;
}
