/** What a line of OpenCLIP's log says of the training. */
export type TrainingLine =
  | { readonly kind: "epoch"; readonly epoch: number }
  | {
      readonly kind: "step";
      /** 0-based. */
      readonly epoch: number;
      /** Over the whole batch; NaN where it is not finite. */
      readonly loss: number;
      /** exp(logit_scale), before the update. */
      readonly scale: number;
      /** Pairs a second, of all processes together. */
      readonly rate: number;
    };

const epochLine = /\| INFO \| Start epoch (\d+)$/;
const stepLine = /\| INFO \| Train Epoch: (\d+) .*?, ([\d.e+-]+)\/s,.* Logit Scale: (\S+) .*\bLoss: (\S+)/;

/** Reads a line of OpenCLIP's log; undefined where it says nothing of the training's course. */
export function trainingLine(text: string): TrainingLine | undefined {
  const [, started] = epochLine.exec(text) ?? [];
  if (started !== undefined) return { kind: "epoch", epoch: Number(started) };
  const [, epoch, rate, scale, loss] = stepLine.exec(text) ?? [];
  if (epoch === undefined) return undefined;
  return {
    kind: "step",
    epoch: Number(epoch),
    loss: Number(loss),
    scale: Number(scale),
    rate: Number(rate),
  };
}

/**
 * Tells lines that nobody wants to read from the others: OpenCLIP prints its model, layer by layer, and all of its
 * options, and has torch print what it thinks of itself.
 */
export function dullLines(): (text: string) => boolean {
  let inModel = false;
  return (text) => {
    if (text.endsWith("| INFO | Model:")) inModel = true;
    else if (text.endsWith("| INFO | Params:")) inModel = false;
    else return inModel || /\| INFO \| {3}\w+: |^(?:\[rank\d+\]:)?I\d{4} \d\d:/.test(text);
    return true;
  };
}
