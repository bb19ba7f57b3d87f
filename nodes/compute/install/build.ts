import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { NodeError } from "../../../engine/sdk.ts";
import { quietName } from "../places.ts";
import { isNoSpace, noSpace, run, tail, type InstallContext, type Programs } from "./programs.ts";
import { quietSource } from "./quiet.ts";
import { libraryNames } from "./wheel.ts";

/** Version of Node-API that the binding asks for; every Node since 12 has it. */
const napiVersion = 8;

/**
 * Compiles the package's two C++ files against TensorFlow's libraries: one compiler call, without node-gyp, since
 * Node-API needs no headers of Node's own. Beside the binding goes a small addon that keeps its loading quiet.
 *
 * @param packageRoot the tfjs-node-gpu package, with `deps/lib` and `deps/include` filled
 * @param nodeHeaders folder of node_api.h
 * @returns path of the binding
 */
export async function buildBinding(
  context: InstallContext,
  programs: Programs,
  packageRoot: string,
  nodeHeaders: string,
): Promise<string> {
  const binding = join(packageRoot, "lib", `napi-v${napiVersion}`, "tfjs_binding.node");
  const quiet = join(dirname(binding), quietName);
  await mkdir(dirname(binding), { recursive: true });
  await writeFile(`${quiet}.cc`, quietSource);
  context.report({ kind: "line", text: `compiling the binding with ${programs.compiler}` });
  await compile(context, programs, packageRoot, ["-I", nodeHeaders, `${quiet}.cc`, "-o", quiet]);
  await rm(`${quiet}.cc`);
  await compile(
    context,
    programs,
    packageRoot,
    [
      [`-DNAPI_VERSION=${napiVersion}`, "-DNODE_GYP_MODULE_NAME=tfjs_binding", "-DBUILDING_NODE_EXTENSION"],
      ["-I", nodeHeaders, "-I", ".", "-I", join("deps", "include")],
      [join("binding", "tfjs_backend.cc"), join("binding", "tfjs_binding.cc")],
      ["-o", binding, "-L", join("deps", "lib")],
      libraryNames.map((name) => `-l:${name}`),
      // Relative to the binding, so that the installation can be moved.
      ["-Wl,-rpath,$ORIGIN/../../deps/lib"],
    ].flat(),
  );
  return binding;
}

async function compile(
  context: InstallContext,
  { compiler }: Programs,
  cwd: string,
  args: readonly string[],
): Promise<void> {
  const built = await run(context, compiler, ["-std=c++17", "-O2", "-shared", "-fPIC", ...args], { cwd });
  if (built.ok) return;
  if (isNoSpace(built.output)) throw noSpace(cwd);
  throw new NodeError(`the binding does not compile: ${tail(built.output)}`, {
    hint: "a compiler that knows C++17 is needed (g++ 8 or later, clang 7 or later); set CXX to choose one",
  });
}
