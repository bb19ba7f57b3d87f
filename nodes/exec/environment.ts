import { NodeError } from "../../engine/sdk.ts";
import type { RunContext } from "../../engine/sdk.ts";
import type { ExecParams } from "../exec.ts";

/** The parameters that say which variables a program gets. */
export type PassedVariables = Pick<ExecParams, "env" | "ambient" | "secrets">;

/** Variables of ranflow's own environment that every program gets: it would hardly start without them. */
const always = ["PATH", "HOME", "USER", "LOGNAME", "CUDA_VISIBLE_DEVICES"];

/**
 * The environment of a program: nothing of ranflow's own but what is needed to start, what is the same on every
 * machine, and what the parameters name.
 */
export function programEnvironment(
  { compute, params, secret }: Pick<RunContext<PassedVariables>, "compute" | "params" | "secret">,
  temporary: string,
): Record<string, string> {
  const env: Record<string, string> = {
    // Texts are sorted and times are printed alike wherever the step runs.
    LANG: "C.UTF-8",
    TZ: "UTC",
    TMPDIR: temporary,
    OMP_NUM_THREADS: String(compute.threads),
    // Python would hold back what it prints until it has a few kilobytes.
    PYTHONUNBUFFERED: "1",
  };
  const pass = (name: string, value: string | undefined): void => {
    if (value !== undefined) env[name] = value;
  };
  for (const name of [...always, ...params.env, ...params.ambient]) pass(name, process.env[name]);
  for (const name of params.secrets) {
    const value = secret(name);
    if (value === undefined) {
      throw new NodeError(`the environment variable ${name} is not set`, {
        hint: `\`secrets\` names it: set it where you start ranflow, for instance with \`export ${name}=...\``,
      });
    }
    env[name] = value;
  }
  return env;
}
