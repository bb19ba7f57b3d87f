import type { RunContext } from "../../engine/sdk.ts";
import { programEnvironment } from "../exec/environment.ts";

/** Variables that say where libraries, GPUs and other machines are, and what torch and Slurm are to do with them. */
const passedOn =
  /^(?:LD_LIBRARY_PATH|VIRTUAL_ENV|RANFLOW_PYTHON)$|^(?:PYTHON|CONDA_|CUDA_|NVIDIA_|NCCL_|GLOO_|TORCH_|SLURM_|SRUN_|SLURMD_)/;

/** The environment of a training's programs: that of `exec`, and what a Python of the user's may need. */
export function trainingEnvironment(
  { compute, secret }: Pick<RunContext, "compute" | "secret">,
  temporary: string,
): Record<string, string> {
  const ambient = Object.keys(process.env).filter((name) => passedOn.test(name));
  const params = { env: [], ambient, secrets: [] };
  return {
    // OpenCLIP calls what torch is about to rename, which is no news for who trains with it.
    PYTHONWARNINGS: "ignore::FutureWarning",
    ...programEnvironment({ compute, params, secret }, temporary),
    // All that a training needs is on the disk: nothing is to wait for a network.
    HF_HUB_OFFLINE: "1",
  };
}
