import { exitCodes } from "./exit.ts";

/**
 * Ctrl-C (and SIGTERM, which clusters send before they kill) stops a run: once lets steps save, twice stops now, and a
 * third time leaves at once. A lost terminal (SIGHUP) does not end a run.
 *
 * @returns ends this
 */
export function followSignals(stop: () => void): () => void {
  let asked = 0;
  const onStop = (): void => {
    if (++asked > 2) process.exit(exitCodes.interrupted);
    stop();
  };
  const onHangUp = (): void => {};
  process.on("SIGINT", onStop);
  process.on("SIGTERM", onStop);
  process.on("SIGHUP", onHangUp);
  return () => {
    process.off("SIGINT", onStop);
    process.off("SIGTERM", onStop);
    process.off("SIGHUP", onHangUp);
  };
}
