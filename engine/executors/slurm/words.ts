/** `12.3 GiB`, `512 MiB`. */
export function bytes(value: number): string {
  return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${Math.round(value / 2 ** 20)} MiB`;
}

/** `90 s`, `12 min`, `4 h`. */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 360) / 10} h`;
}

/** What a reason of Slurm for leaving a step in the queue asks a person to do; undefined where it is just its turn. */
export function remedy(reason: string): string | undefined {
  if (/JobHeldUser|JobHeldAdmin|launch_failed_requeued_held|launch failed/i.test(reason)) {
    return "it is held: `scontrol release` lets it go, `scancel` gives it up";
  }
  if (/TimeLimit/.test(reason)) return "the partition gives less time than `slurm.time` asks for";
  if (/NodeLimit|BadConstraints|PartitionConfig/.test(reason)) {
    return "no node of the partition has what it asks for: see `resources`, `slurm.gres` and `slurm.constraint`";
  }
  if (/InvalidAccount|InvalidQOS|AssocGrp|QOSGrp|MaxWall|MaxCpu|MaxGRES|MaxMem/i.test(reason)) {
    return "an account's limit stands in the way: see `slurm.account`, and `sacctmgr show assoc`";
  }
  if (/PartitionDown|PartitionInactive|Reserv|ReqNodeNotAvail|NodeDown/i.test(reason)) {
    return "the nodes that could run it are down or reserved: see `sinfo -R`";
  }
  return undefined;
}
