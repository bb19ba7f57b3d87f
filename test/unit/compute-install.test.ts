import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type * as files from "node:fs/promises";
import { chmod, lstat, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { installTensorflow, readInstallation, removeTensorflow } from "../../nodes/compute/install.ts";
import { buildBinding } from "../../nodes/compute/install/build.ts";
import { addCudaLibraries } from "../../nodes/compute/install/cuda.ts";
import { fetchPackages } from "../../nodes/compute/install/packages.ts";
import type { InstallContext, InstallEvent, Programs } from "../../nodes/compute/install/programs.ts";
import { downloadWheels } from "../../nodes/compute/install/pip.ts";
import { unpackWheel } from "../../nodes/compute/install/wheel.ts";
import { tensorflowFolder } from "../../nodes/compute/places.ts";
import { storedZip } from "../rig/stored-zip.ts";

/** Bytes left on the disk, whatever this machine's has. */
const disk = vi.hoisted(() => ({ left: 0 }));
vi.mock("node:fs/promises", async (importOriginal) => ({
  ...(await importOriginal<typeof files>()),
  statfs: async () => ({ bavail: disk.left, bsize: 1 }),
}));

let folder: string;
let events: InstallEvent[];
beforeEach(async () => {
  disk.left = 1e12;
  folder = await mkdtemp(join(tmpdir(), "ranflow-install-"));
  events = [];
});
afterEach(() => rm(folder, { recursive: true }));

/** Programs that are shell scripts, and nothing else on PATH. */
async function context(
  scripts: Readonly<Record<string, string>>,
  signal: AbortSignal = new AbortController().signal,
): Promise<InstallContext> {
  const bin = join(folder, "bin");
  await mkdir(bin, { recursive: true });
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, name), 0o755);
  }
  const env = { PATH: bin, HOME: folder, RANFLOW_BACKENDS: join(folder, "backends") };
  return { env, signal, report: (event) => events.push(event) };
}

function programs(): Programs {
  const at = (name: string): string => join(folder, "bin", name);
  return { npm: at("npm"), python: at("python3"), compiler: at("g++"), tar: at("tar") };
}

const all = { npm: "exit 0", python3: "echo pip 25.0", "g++": "exit 0", tar: "exit 0" };

describe("installTensorflow", () => {
  it("names everything that is missing at once", async () => {
    await expect(installTensorflow(await context({}))).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringMatching(/needs npm .*C\+\+ compiler .*tar .*python3 with pip/s),
      hint: expect.stringContaining("--backend wasm"),
    });
    expect(existsSync(join(folder, "backends"))).toBe(false);
  });

  it("sees that python has no pip", async () => {
    const setup = await context({ ...all, python3: "echo No module named pip >&2; exit 1" });
    await expect(installTensorflow(setup)).rejects.toThrow(/^installing tensorflow needs pip for .*python3/);
  });

  it("leaves nothing behind when it fails, and removes what a killed one left", async () => {
    const backends = join(folder, "backends");
    await mkdir(join(backends, ".staging-999999999-dead", "built"), { recursive: true });
    const setup = await context({ ...all, npm: "echo npm error code ENOTFOUND >&2; exit 1" });
    await expect(installTensorflow(setup)).rejects.toMatchObject({
      message: expect.stringContaining("npm cannot reach its registry"),
      transient: true,
    });
    expect(await readdir(backends)).toEqual([]);
    expect(await readInstallation(setup.env)).toBeUndefined();
  });

  it("stops at once when interrupted, and leaves nothing behind", async () => {
    const stop = new AbortController();
    const setup = await context({ ...all, npm: "exec /bin/sleep 60" }, stop.signal);
    const report = (event: InstallEvent): void => {
      if (event.kind === "line" && event.text.startsWith("fetching")) setImmediate(() => stop.abort());
    };
    await expect(installTensorflow({ ...setup, report })).rejects.toMatchObject({ name: "AbortError" });
    expect(await readdir(join(folder, "backends"))).toEqual([]);
  });

  it("says where it cannot write", async () => {
    await writeFile(join(folder, "backends"), "a file, not a folder");
    await expect(installTensorflow(await context(all))).rejects.toMatchObject({
      message: expect.stringMatching(/^cannot write to .*backends \(EEXIST|ENOTDIR\)/),
      hint: expect.stringContaining("RANFLOW_BACKENDS"),
    });
  });

  it("says how much it needs where the disk has less, before it fetches anything", async () => {
    disk.left = 5e6;
    await expect(installTensorflow(await context(all))).rejects.toMatchObject({
      message: expect.stringMatching(/backends has 5 MB left, and the installation needs \d+ MB$/),
      hint: expect.stringContaining("RANFLOW_BACKENDS"),
    });
    expect(events).toEqual([]);
    expect(await readdir(join(folder, "backends"))).toEqual([]);
  });

  it("does nothing where it is installed, and can be removed", async () => {
    const setup = await context({});
    const target = tensorflowFolder("cpu", setup.env);
    await mkdir(target, { recursive: true });
    const record = { format: 1, pins: {}, wheel: "w.whl", sha256: {}, versions: { tensorflow: "2" } };
    await writeFile(join(target, "install.json"), JSON.stringify(record));
    expect(await installTensorflow(setup)).toEqual({ installed: false, folder: target, record });
    expect(await removeTensorflow(setup.env)).toBe(target);
    expect(await readdir(join(folder, "backends"))).toEqual([]);
    expect(await removeTensorflow(setup.env)).toBeUndefined();
  });

  it("keeps the builds for CPU and CUDA apart", async () => {
    const setup = await context({});
    for (const build of ["cpu", "cuda"] as const) {
      const target = tensorflowFolder(build, setup.env);
      await mkdir(target, { recursive: true });
      await writeFile(join(target, "install.json"), JSON.stringify({ wheel: build }));
    }
    expect(await installTensorflow(setup, { build: "cuda" })).toMatchObject({ record: { wheel: "cuda" } });
    expect(await removeTensorflow(setup.env, "cuda")).toBe(tensorflowFolder("cuda", setup.env));
    expect(await readInstallation(setup.env, "cuda")).toBeUndefined();
    expect(await readInstallation(setup.env)).toEqual({ wheel: "cpu" });
  });
});

describe("fetchPackages", () => {
  const fetch = async (npm: string) =>
    fetchPackages(
      await context({ ...all, npm }),
      programs(),
      { binding: join(folder, "a"), protobuf: join(folder, "b"), headers: join(folder, "c") },
      join(folder, "downloads"),
    );

  it.each([
    ["npm error code ECONNREFUSED", "cannot reach its registry", "npm config set registry"],
    [
      "npm error code E404",
      "does not have all of @tensorflow/tfjs-node-gpu@4.22.0",
      "npm config set registry",
    ],
    ["npm error code E401", "refuses access", "npm login"],
    ["npm error ENOSPC: no space left on device", "no space left", "RANFLOW_BACKENDS"],
    ["npm error something new", "npm pack failed", "by hand"],
  ])("explains %s", async (output, message, hint) => {
    await expect(fetch(`echo "${output}" >&2; exit 1`)).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
  });

  it("refuses an archive that is not the pinned one", async () => {
    const deliver = `for last; do :; done; echo other > "$last/tensorflow-tfjs-node-gpu-4.22.0.tgz"`;
    await expect(fetch(deliver)).rejects.toThrow("is not the pinned package");
    expect(existsSync(join(folder, "a"))).toBe(false);
  });
});

describe("downloadWheels", () => {
  const download = async (python3: string) =>
    downloadWheels(await context({ ...all, python3 }), programs(), join(folder, "pip"), [
      "tensorflow-cpu==2.21.0",
    ]);
  const version = (pip: string) => `case "$*" in *--version) echo "pip ${pip} from x"; exit 0;; esac`;
  const dest = `while [ "$1" != --dest ]; do shift; done`;

  it("asks for wheels of other Pythons where there is none for the user's own", async () => {
    const found = await download(`${version("23.2")}
      echo "$@" >> ${folder}/asked
      case "$*" in *"--python-version 3.11"*) ${dest}; : > "$2/tensorflow_cpu.whl";;
      *) echo "ERROR: No matching distribution found for tensorflow-cpu" >&2; exit 1;; esac`);
    expect(found).toEqual([join(folder, "pip", "tensorflow_cpu.whl")]);
    const asked = (await readFile(join(folder, "asked"), "utf8")).trim().split("\n");
    expect(asked).toHaveLength(3);
    expect(asked[0]).toContain("--progress-bar off");
    expect(asked[0]).not.toContain("--python-version");
    expect(asked.every((line) => line.includes("--no-deps") && line.endsWith("tensorflow-cpu==2.21.0"))).toBe(
      true,
    );
  });

  it("reports the bytes that a newer pip tells", async () => {
    await download(`${version("25.1")}
      echo Progress 500 of 1000; echo Progress 1000 of 1000; ${dest}; : > "$2/tensorflow_cpu.whl"`);
    expect(events.filter(({ kind }) => kind === "bytes")).toEqual(
      [500, 1000].map((done) => ({ kind: "bytes", what: "tensorflow-cpu==2.21.0", done, total: 1000 })),
    );
  });

  it.each([
    ["Temporary failure in name resolution", "pip cannot reach its package index", "global.index-url"],
    ["ERROR: No matching distribution found", "has no wheel of tensorflow-cpu==2.21.0", "glibc"],
    ["OSError: [Errno 28] No space left on device", "no space left", "RANFLOW_BACKENDS"],
    ["Traceback: boom", "pip download failed", "by hand"],
  ])("explains %s", async (output, message, hint) => {
    await expect(download(`${version("25.1")}\necho "${output}" >&2; exit 1`)).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
  });
});

describe("unpackWheel", () => {
  const wheelFiles = {
    "tensorflow/libtensorflow_cc.so.2": "the library",
    "tensorflow/libtensorflow_framework.so.2": "its framework",
    "tensorflow/include/tensorflow/c/c_api.h": "// C interface",
    "tensorflow/include/tensorflow/core/platform/ctstring.h": "// strings",
    "tensorflow/include/tensorflow/core/graph/graph.h": "// not needed",
    "tensorflow/python/big.py": "# not needed",
  };
  const sum = (content: string, encoding: "base64url" | "hex"): string =>
    createHash("sha256").update(content).digest(encoding);

  async function unpack(files: Readonly<Record<string, string>>, recorded = files) {
    const record = Object.entries(recorded)
      .map(([name, content]) => `${name},sha256=${sum(content, "base64url")},${content.length}`)
      .join("\n");
    const wheel = join(folder, "t.whl");
    await writeFile(wheel, storedZip({ ...files, "tensorflow_cpu-2.dist-info/RECORD": record }));
    const targets = { libraries: join(folder, "lib"), include: join(folder, "include") };
    return unpackWheel(await context({}), wheel, targets);
  }

  it("takes the libraries and the C headers, and nothing else", async () => {
    const digests = await unpack(wheelFiles);
    expect(digests["libtensorflow_cc.so.2"]).toBe(sum("the library", "hex"));
    expect(await readFile(join(folder, "lib", "libtensorflow_framework.so.2"), "utf8")).toBe("its framework");
    const headers = await readdir(join(folder, "include"), { recursive: true, withFileTypes: true });
    expect(
      headers
        .filter((entry) => entry.isFile())
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(["c_api.h", "ctstring.h"]);
  });

  it("finds a file that is not what the record says", async () => {
    const damaged = { ...wheelFiles, "tensorflow/libtensorflow_cc.so.2": "the librarx" };
    await expect(unpack(damaged, wheelFiles)).rejects.toThrow(
      "tensorflow/libtensorflow_cc.so.2 in the wheel is not what the wheel's own record says",
    );
  });

  it("is not led astray by names, links and sizes", async () => {
    const targets = { libraries: join(folder, "inner", "lib"), include: join(folder, "inner", "include") };
    const open = async (zip: Buffer): Promise<unknown> => {
      await writeFile(join(folder, "t.whl"), zip);
      return unpackWheel(await context({}), join(folder, "t.whl"), targets);
    };
    const library = "tensorflow/libtensorflow_cc.so.2";
    for (const name of [`../${library}`, `/${library}`, "tensorflow/../../evil", "C:/evil", "..\\evil"]) {
      await expect(open(storedZip({ [name]: "evil" })), name).rejects.toMatchObject({
        name: "NodeError",
        message: expect.stringMatching(/is not a wheel that can be read: |does not hold/),
      });
    }
    const outside = "tensorflow/include/tensorflow/c/../../../../../evil.h";
    await expect(open(storedZip({ [outside]: "evil" }))).rejects.toMatchObject({ name: "NodeError" });
    // A link to a file outside, then a file through it.
    const link = { [library]: join(folder, "victim"), [`${library}/x`]: "evil" };
    await expect(open(storedZip(link, { attributes: 0o120777 << 16 }))).rejects.toThrow("own record says");
    expect((await lstat(join(targets.libraries, "libtensorflow_cc.so.2"))).isFile()).toBe(true);
    const bombs = { [library]: "x", "t.dist-info/RECORD": "x" };
    for (const [name, content] of Object.entries(bombs)) {
      await expect(open(storedZip({ [name]: content }, { claimed: 4_100_000_000 }))).rejects.toThrow(
        "would unpack to 4100 MB",
      );
    }
    const left = await readdir(folder, { recursive: true });
    expect(left.filter((name) => /evil|victim/.test(name))).toEqual([]);
  });

  it("misses what a differently built wheel lacks, and says when it is no wheel", async () => {
    const { "tensorflow/libtensorflow_cc.so.2": _, ...without } = wheelFiles;
    await expect(unpack(without)).rejects.toThrow("does not hold libtensorflow_cc.so.2");
    await writeFile(join(folder, "x.whl"), "<html>");
    const targets = { libraries: folder, include: folder };
    await expect(unpackWheel(await context({}), join(folder, "x.whl"), targets)).rejects.toThrow(
      "is not a wheel that can be read",
    );
  });
});

describe("addCudaLibraries", () => {
  const metadata = [
    "Name: tensorflow",
    "Requires-Dist: numpy>=1.26.0",
    "Provides-Extra: and-cuda",
    'Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"',
    "Requires-Dist: nvidia-cudnn-cu12 (<10.0,>=9.3) ; extra == 'and-cuda'",
    'Requires-Dist: tensorflow-io>=0.23; (python_version < "3.13") and extra == "gcs-filesystem"',
  ].join("\n");
  const cublas = {
    "nvidia/cublas/lib/libcublas.so.12": "cublas",
    "nvidia/cublas/lib/libnvblas.a": "static",
    "nvidia/cublas/include/cublas.h": "header",
    "other/cublas/lib/libx.so.1": "elsewhere",
  };
  const cudnn = { "nvidia/cudnn/lib/libcudnn.so.9": "cudnn" };

  function wheel(
    files: Readonly<Record<string, string>>,
    extra: Readonly<Record<string, string>> = {},
  ): Buffer {
    const record = Object.entries(files)
      .map(([name, content]) => {
        const digest = createHash("sha256").update(content).digest("base64url");
        return `${name},sha256=${digest},${content.length}`;
      })
      .join("\n");
    return storedZip({ ...files, ...extra, "x-1.dist-info/RECORD": record });
  }

  /** An index in a folder, behind a pip that is a script: `pip download SPEC...` takes from it what is asked for. */
  async function add(index: Readonly<Record<string, Buffer>>, names: string = metadata) {
    await mkdir(join(folder, "index"), { recursive: true });
    for (const [name, bytes] of Object.entries(index)) await writeFile(join(folder, "index", name), bytes);
    const tensorflow = join(folder, "tensorflow-2.whl");
    await writeFile(tensorflow, wheel({}, { "x-1.dist-info/METADATA": names }));
    const setup = await context({
      ...all,
      python3: `case "$*" in *--version) echo "pip 25.1 from x"; exit 0;; esac
        echo "$@" >> ${folder}/asked
        while [ "$1" != --dest ]; do shift; done; dest="$2"; shift 2
        for spec; do
          name="\${spec%%[<>=]*}"
          for file in ${folder}/index/\${name}-*.whl; do
            [ -e "$file" ] || { echo "ERROR: No matching distribution found for $spec" >&2; exit 1; }
            echo "Downloading https://index/\${file##*/} (1 kB)"
            while read -r line; do :; done < /dev/null
            /bin/cp "$file" "$dest/"
          done
        done`,
    });
    const places = { wheel: tensorflow, downloads: join(folder, "nv"), target: join(folder, "nvidia") };
    return addCudaLibraries(setup, programs(), places);
  }

  it("takes what TensorFlow's wheel names, in the layout that its libraries look in, and nothing else", async () => {
    const added = await add({
      "nvidia-cublas-cu12-12.9.whl": wheel(cublas),
      "nvidia-cudnn-cu12-9.28.whl": wheel(cudnn),
    });
    const asked = (await readFile(join(folder, "asked"), "utf8")).trim();
    expect(asked).toMatch(
      /--no-deps .* nvidia-cublas-cu12<13\.0,>=12\.5\.3\.2 nvidia-cudnn-cu12<10\.0,>=9\.3$/,
    );
    expect(added.wheels).toEqual(["nvidia-cublas-cu12-12.9.whl", "nvidia-cudnn-cu12-9.28.whl"]);
    const library = join(folder, "nvidia", "cublas", "lib", "libcublas.so.12");
    expect([...added.sha256.keys()]).toEqual([
      library,
      join(folder, "nvidia", "cudnn", "lib", "libcudnn.so.9"),
    ]);
    expect(added.sha256.get(library)).toBe(createHash("sha256").update("cublas").digest("hex"));
    expect(await readdir(join(folder, "nvidia", "cublas", "lib"))).toEqual(["libcublas.so.12"]);
    expect(events).toContainEqual({ kind: "line", text: "  nvidia-cudnn-cu12-9.28.whl (1 kB)" });
    // Unpacked wheels go at once: together they would need twice the space.
    expect((await readdir(join(folder, "nv"))).filter((name) => name.endsWith(".whl"))).toEqual([]);
  });

  it("says what an index lacks, and that a wheel is no build for CUDA", async () => {
    await expect(add({ "nvidia-cublas-cu12-12.9.whl": wheel(cublas) })).rejects.toMatchObject({
      message: expect.stringMatching(
        /has no wheel of nvidia-cublas.*No matching distribution found for nvidia-cudnn/s,
      ),
      hint: expect.stringContaining("global.index-url"),
    });
    await expect(add({}, "Name: tensorflow-cpu")).rejects.toMatchObject({
      message: "tensorflow-2.whl names no NVIDIA libraries: it is no build for CUDA",
      hint: expect.stringContaining("--cuda"),
    });
  });

  it("finds a library that is not what its record says", async () => {
    const damaged = wheel(cublas);
    damaged.write("CUBLAS", damaged.indexOf("cublas", damaged.indexOf("libcublas.so.12") + 15), "latin1");
    await expect(
      add({ "nvidia-cublas-cu12-12.9.whl": damaged, "nvidia-cudnn-cu12-9.28.whl": wheel(cudnn) }),
    ).rejects.toThrow("libcublas.so.12 in the wheel is not what the wheel's own record says");
  });
});

describe("buildBinding", () => {
  it("passes on what the compiler says", async () => {
    const setup = await context({ ...all, "g++": "echo 'error: unknown option -std=c++17' >&2; exit 1" });
    await expect(buildBinding(setup, programs(), folder, folder)).rejects.toMatchObject({
      message: expect.stringContaining("unknown option -std=c++17"),
      hint: expect.stringContaining("CXX"),
    });
  });
});
