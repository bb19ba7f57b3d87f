import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { NodeError } from "../../engine/sdk.ts";

/**
 * Path of a program's file: a name is looked up in PATH, a path starts from the working directory.
 *
 * @throws NodeError where there is none, or none that can be run
 */
export async function findProgram(
  command: string,
  { path = "", work }: { readonly path: string | undefined; readonly work: string },
): Promise<string> {
  if (command.includes("/")) {
    const file = resolve(work, command);
    const problem = await problemOf(file);
    if (problem === undefined) return file;
    throw new NodeError(`the program ${command} ${problem}`, {
      hint:
        problem === notThere && !isAbsolute(command)
          ? "a relative path starts from the private folder with copies of `files`: list it there"
          : problem === notRunnable
            ? `make it executable, \`chmod +x\`, or start it through its interpreter: \`[python, ${command}]\``
            : "check the first item of `command`",
    });
  }
  // An empty entry would mean the working directory, whose files are written with `./`.
  const folders = path.split(":").filter(isAbsolute);
  let refused: string | undefined;
  for (const folder of folders) {
    const file = join(folder, command);
    const problem = await problemOf(file);
    if (problem === undefined) return file;
    if (problem === notRunnable) refused ??= file;
  }
  if (refused !== undefined) throw new NodeError(`the program ${refused} ${notRunnable}`);
  throw new NodeError(`there is no program \`${command}\` on this machine's PATH`, {
    hint: "install it, activate the environment that has it before you start ranflow, or give its absolute path",
  });
}

const notThere = "is not there";
const notRunnable = "may not be executed";

async function problemOf(file: string): Promise<string | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (!found) return notThere;
  if (found.isDirectory()) return "is a folder";
  return access(file, constants.X_OK).then(
    () => undefined,
    () => notRunnable,
  );
}
