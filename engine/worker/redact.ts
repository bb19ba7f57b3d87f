/** Takes secrets out of text before it leaves the worker. */
export interface Redactor {
  /** Reads an environment variable and hides its value from now on. */
  secret(variable: string): string | undefined;
  redact(text: string): string;
}

/** Values this short occur by chance in ordinary text; hiding them would tell more than it hides. */
const shortestSecret = 4;

/** @param env where the secrets are read from, `process.env` in a worker */
export function createRedactor(env: Readonly<Record<string, string | undefined>>): Redactor {
  const hidden = new Map<string, string>();
  return {
    secret(variable) {
      const value = env[variable];
      if (value !== undefined && value.length >= shortestSecret) {
        // The forms in which HTTP clients and JSON errors like to quote it.
        for (const form of [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)]) {
          hidden.set(form, `[${variable}]`);
        }
      }
      return value;
    },
    redact(text) {
      let result = text;
      for (const [value, name] of hidden) result = result.replaceAll(value, name);
      return result;
    },
  };
}
