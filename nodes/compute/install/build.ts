import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { NodeError } from "../../../engine/sdk.ts";
import { isNoSpace, noSpace, run, tail, type InstallContext, type Programs } from "./programs.ts";
import { libraryNames } from "./wheel.ts";

/** Version of Node-API that the binding asks for; every Node since 12 has it. */
const napiVersion = 8;

/**
 * Compiles the package's two C++ files against TensorFlow's libraries: one compiler call, without node-gyp, since
 * Node-API needs no headers of Node's own.
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
  await mkdir(dirname(binding), { recursive: true });
  context.report({ kind: "line", text: `compiling the binding with ${programs.compiler}` });
  const built = await run(
    context,
    programs.compiler,
    [
      ["-std=c++17", "-O2", "-shared", "-fPIC"],
      [`-DNAPI_VERSION=${napiVersion}`, "-DNODE_GYP_MODULE_NAME=tfjs_binding", "-DBUILDING_NODE_EXTENSION"],
      ["-I", nodeHeaders, "-I", ".", "-I", join("deps", "include")],
      [join("binding", "tfjs_backend.cc"), join("binding", "tfjs_binding.cc")],
      ["-o", binding, "-L", join("deps", "lib")],
      libraryNames.map((name) => `-l:${name}`),
      // Relative to the binding, so that the installation can be moved.
      ["-Wl,-rpath,$ORIGIN/../../deps/lib"],
    ].flat(),
    { cwd: packageRoot },
  );
  if (built.ok) return binding;
  if (isNoSpace(built.output)) throw noSpace(packageRoot);
  throw new NodeError(`the binding does not compile: ${tail(built.output)}`, {
    hint: "a compiler that knows C++17 is needed (g++ 8 or later, clang 7 or later); set CXX to choose one",
  });
}
