import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../../../engine/sdk.ts";
import { pins } from "../places.ts";
import {
  isNetworkFailure,
  isNoSpace,
  noSpace,
  run,
  tail,
  type InstallContext,
  type Programs,
} from "./programs.ts";

/** Subresource integrity of the pinned packages: what any registry or mirror has to deliver. */
const packages = {
  binding: {
    ...pins.binding,
    integrity:
      "sha512-p//NN6DGiN4hInUmIkRffaFVMcdTREUMjPyjW04J7OXvB2zBlQimj61eFKSgRrH3f5TnOfKzb0n56he/B6a4bw==",
  },
  protobuf: {
    ...pins.protobuf,
    integrity:
      "sha512-MnG7N936zcKTco4Jd2PX2U96Kf9PxygAPKBug+74LHzmHXmceN16MmRcdgZv+DGef/S9YvQAfRsNCn4cjf9yyQ==",
  },
  headers: {
    ...pins.headers,
    integrity:
      "sha512-2oNILP4jXwRB4ywnYKjVk1YyJ96n2D4EOVJO6S3oYZ5PtbJrw3Yt9TpAuX3nBLMuzn74rnfGQrv13pS9vC+YiA==",
  },
} as const;

export type PackageRole = keyof typeof packages;

/**
 * Fetches the pinned npm packages from the user's registry, checks them against the pins, and unpacks each into
 * the folder given for it. None of their scripts runs.
 */
export async function fetchPackages(
  context: InstallContext,
  programs: Programs,
  folders: Readonly<Record<PackageRole, string>>,
  downloads: string,
): Promise<void> {
  await mkdir(downloads, { recursive: true });
  const roles = Object.keys(packages) as PackageRole[];
  const specs = roles.map((role) => `${packages[role].name}@${packages[role].version}`);
  context.report({ kind: "line", text: `fetching ${specs.join(", ")} with npm` });
  const packed = await run(
    context,
    programs.npm,
    ["pack", ...specs, "--ignore-scripts", "--json", "--loglevel=error", "--pack-destination", downloads],
    // A folder of its own keeps npm from reading the project that the command was started in.
    { cwd: downloads },
  );
  if (!packed.ok) throw npmProblem(packed.output, specs, downloads);
  for (const role of roles) {
    const file = join(downloads, archiveName(packages[role]));
    await checkIntegrity(file, role);
    await mkdir(folders[role], { recursive: true });
    const unpacked = await run(context, programs.tar, [
      "-xzf",
      file,
      "-C",
      folders[role],
      "--strip-components=1",
      "--no-same-owner",
    ]);
    if (!unpacked.ok)
      throw isNoSpace(unpacked.output) ? noSpace(downloads) : cannotUnpack(file, unpacked.output);
  }
}

/** The name npm gives an archive: `@scope/name` at 1.2.3 becomes `scope-name-1.2.3.tgz`. */
function archiveName({ name, version }: { name: string; version: string }): string {
  return `${name.replace("@", "").replace("/", "-")}-${version}.tgz`;
}

async function checkIntegrity(file: string, role: PackageRole): Promise<void> {
  const { name, version, integrity } = packages[role];
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new NodeError(`npm did not deliver ${name}@${version}`, {
      hint: "update npm and start again",
      cause,
    });
  });
  const found = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  if (found !== integrity)
    throw new NodeError(`${name}@${version} as npm delivered it is not the pinned package (${found})`, {
      hint: "ask who runs the registry or mirror (`npm config get registry`) why its copy differs",
    });
}

function cannotUnpack(file: string, output: string): NodeError {
  return new NodeError(`tar cannot unpack ${file}: ${tail(output, 3)}`, {
    hint: "check that tar is the usual one (GNU or BSD) and start again",
  });
}

function npmProblem(output: string, specs: readonly string[], downloads: string): NodeError {
  if (isNoSpace(output)) return noSpace(downloads);
  if (isNetworkFailure(output))
    return new NodeError(`npm cannot reach its registry: ${tail(output, 4)}`, {
      hint: "check the network, or name a mirror with `npm config set registry URL`",
      transient: true,
    });
  if (/E404|ETARGET|No matching version/.test(output))
    return new NodeError(`npm's registry does not have all of ${specs.join(", ")}: ${tail(output, 4)}`, {
      hint: "choose a registry that has them with `npm config set registry URL`",
    });
  if (/E401|E403|ENEEDAUTH/.test(output))
    return new NodeError(`npm's registry refuses access: ${tail(output, 4)}`, {
      hint: "log in with `npm login`, or ask who runs the registry",
    });
  return new NodeError(`npm pack failed: ${tail(output)}`, {
    hint: "run the same command by hand to see more",
  });
}
