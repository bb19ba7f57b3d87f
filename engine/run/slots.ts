import { existsSync, readdirSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Grid, Resources, Step } from "../model/grid.ts";
import { similar } from "../load/similar.ts";

/** What there is to run steps with. */
export interface Slots {
  readonly cpu: number;
  /** Bytes. */
  readonly memory: number;
  readonly gpu: number;
  readonly other: Readonly<Record<string, number>>;
}

/** The resource of which a step holds one while it is with Slurm: `--slots slurm=200` is how many may be there at once. */
export const queueSlot = "slurm";
/** Clusters let a user submit a thousand or so at once. */
const mostQueued = 1_000;

/** What a running step holds. */
export interface Taken {
  readonly demand: Resources;
  readonly gpus: readonly number[];
}

/** This machine's slots. `devices` are CUDA's names of the GPUs, by slot number. */
export async function machineSlots(): Promise<{
  readonly slots: Slots;
  readonly devices: readonly string[];
}> {
  const devices = await gpuDevices();
  return {
    slots: {
      cpu: availableParallelism(),
      memory: totalmem(),
      gpu: devices.length,
      other: { [queueSlot]: mostQueued },
    },
    devices,
  };
}

async function gpuDevices(): Promise<readonly string[]> {
  // A cluster's scheduler says with this which of the machine's GPUs are ours.
  const visible = process.env["CUDA_VISIBLE_DEVICES"];
  if (visible !== undefined) return visible.split(",").filter((name) => name !== "" && name !== "-1");
  const found = deviceFiles();
  if (found.length > 0 || !existsSync("/dev/dxg")) return found;
  // Under WSL the devices have no files of their own.
  const { execa } = await import("execa");
  const { stdout, failed } = await execa("nvidia-smi", ["-L"], { reject: false, timeout: 5_000 });
  return failed ? [] : [...stdout.matchAll(/^GPU (\d+):/gm)].map((match) => match[1] as string);
}

function deviceFiles(): readonly string[] {
  try {
    return readdirSync("/dev")
      .flatMap((name) => /^nvidia(\d+)$/.exec(name)?.[1] ?? [])
      .toSorted((a, b) => Number(a) - Number(b));
  } catch {
    return [];
  }
}

/** Slots that are handed out and come back. */
export interface SlotPool {
  /** Resources that are short for a demand; empty where it fits. `held` are kept for others. */
  short(demand: Resources, held?: ReadonlySet<string>): readonly string[];
  take(demand: Resources): Taken;
  give(taken: Taken): void;
}

export function createSlotPool(slots: Slots): SlotPool {
  const free: Record<string, number> = {
    ...slots.other,
    cpu: slots.cpu,
    memory: slots.memory,
    gpu: slots.gpu,
  };
  const gpus = Array.from({ length: slots.gpu }, (_, i) => i);
  const change = (demand: Resources, sign: 1 | -1): void => {
    for (const [name, amount] of amounts(demand)) free[name] = (free[name] ?? 0) + sign * amount;
  };
  return {
    short: (demand, held) =>
      amounts(demand)
        .filter(([name, amount]) => held?.has(name) || amount > (free[name] ?? 0))
        .map(([name]) => name),
    take(demand) {
      change(demand, -1);
      return { demand, gpus: gpus.splice(0, demand.gpu) };
    },
    give(taken) {
      change(taken.demand, 1);
      gpus.push(...taken.gpus);
      gpus.sort((a, b) => a - b);
    },
  };
}

/** A demand by name, without what is not asked for. */
function amounts({
  cpu,
  memory,
  gpu,
  other,
}: Resources): readonly (readonly [name: string, amount: number])[] {
  return Object.entries({ ...other, cpu, memory, gpu }).filter(([, amount]) => amount > 0);
}

/** One diagnostic per node that asks for more than there is, among the steps that may have to run. */
export function slotProblems(
  grid: Grid,
  slots: Slots,
  mayRun: (step: number) => boolean,
): readonly Diagnostic[] {
  return grid.nodes.flatMap((node) => {
    for (const index of node.steps.filter(mayRun)) {
      const problem = shortage(grid.steps[index] as Step, slots);
      if (!problem) continue;
      return [{ code: "not-enough-slots", severity: "error", ...problem, location: node.location }];
    }
    return [];
  });
}

/** Why a step can never start with these slots; undefined where it can. */
export function shortage(
  step: Step,
  slots: Slots,
): { readonly message: string; readonly hint: string } | undefined {
  const { other, cpu, memory, gpu } = slots;
  const there: Readonly<Record<string, number>> = { ...other, cpu, memory, gpu };
  // What Slurm gives, only Slurm knows.
  const demand = step.slurm ? { ...step.resources, cpu: 0, memory: 0, gpu: 0 } : step.resources;
  const [first, ...rest] = amounts(demand).filter(([name, wanted]) => wanted > (there[name] ?? 0));
  if (!first) return undefined;
  const [name, wanted] = first;
  if (!Object.hasOwn(there, name)) return undefinedResource(step, name, wanted, Object.keys(slots.other));
  const others = rest.map(([other]) => other).join(", ");
  const more = others === "" ? "" : ` (and more ${others} than there is)`;
  return {
    message: `step ${step.id} asks for ${amount(name, wanted)}, but there is ${amount(name, there[name] ?? 0)}${more}`,
    hint: slotHint(name, wanted),
  };
}

/** A resource of the user's own is there only where somebody says how much of it. */
function undefinedResource(
  step: Step,
  name: string,
  wanted: number,
  others: readonly string[],
): { readonly message: string; readonly hint: string } {
  const say = `say --slots ${name}=${wanted}, or take it out of the node's resources`;
  const meant = similar(name, others);
  return {
    message: `step ${step.id} asks for ${wanted} ${name}, and there is no resource \`${name}\``,
    hint: meant === undefined ? say : `did you mean \`${meant}\`? Else ${say}`,
  };
}

function amount(name: string, value: number): string {
  if (name === "memory") return `${(value / 2 ** 30).toFixed(1)} GiB of memory`;
  return `${value} ${name}`;
}

function slotHint(name: string, wanted: number): string {
  if (name === "gpu") {
    return `run it where there is a GPU, take \`gpu\` out of the node's resources to compute on the CPU, or say --slots gpu=${wanted} where ranflow cannot see it`;
  }
  if (name === "memory")
    return "lower `memory` in the node's resources, or raise the limit with --slots memory=...";
  return `lower \`${name}\` in the node's resources, or say --slots ${name}=${wanted}`;
}
