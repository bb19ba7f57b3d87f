/** A trainable tensor's values, changed in place. */
export interface Parameter {
  readonly data: Float32Array;
  /** Decoupled weight decay of this parameter; 0 for none. */
  readonly weightDecay: number;
}

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** First and second moments by parameter name, and how many steps were taken. */
export interface AdamWState {
  step: number;
  readonly moments: ReadonlyMap<string, { readonly first: Float32Array; readonly second: Float32Array }>;
}

/** The state before the first step. */
export function adamwState(parameters: ReadonlyMap<string, Parameter>): AdamWState {
  return {
    step: 0,
    moments: new Map(
      [...parameters].map(([name, { data }]) => [
        name,
        { first: new Float32Array(data.length), second: new Float32Array(data.length) },
      ]),
    ),
  };
}

/**
 * One step of AdamW as torch.optim.AdamW takes it: decay first, then the bias-corrected update with epsilon outside
 * of the corrected root (Loshchilov and Hutter 2019). One pass over plain arrays: no temporary is made, and the result
 * is the same on every compute backend.
 *
 * @param gradients by parameter name; a parameter without one stays as it is
 */
export function adamwStep(
  parameters: ReadonlyMap<string, Parameter>,
  gradients: ReadonlyMap<string, ArrayLike<number>>,
  state: AdamWState,
  learningRate: number,
  { beta1, beta2, epsilon }: AdamWOptions,
): void {
  state.step++;
  const stepSize = learningRate / (1 - beta1 ** state.step);
  const rootFactor = 1 / Math.sqrt(1 - beta2 ** state.step);
  for (const [name, { data, weightDecay }] of parameters) {
    const gradient = gradients.get(name);
    const moments = state.moments.get(name);
    if (!gradient || !moments) continue;
    const { first, second } = moments;
    const decay = 1 - learningRate * weightDecay;
    for (let i = 0; i < data.length; i++) {
      const g = gradient[i] as number;
      const m = beta1 * (first[i] as number) + (1 - beta1) * g;
      const v = beta2 * (second[i] as number) + (1 - beta2) * g * g;
      first[i] = m;
      second[i] = v;
      data[i] = (data[i] as number) * decay - (stepSize * m) / (Math.sqrt(v) * rootFactor + epsilon);
    }
  }
}
