/** A queue that one reader waits on: what happens at once is handled one by one. */
export interface Mailbox<T> {
  post(item: T): void;
  /** The next item; waits where there is none. */
  next(): Promise<T>;
  /** The next item that is already there. */
  poll(): T | undefined;
}

export function createMailbox<T>(): Mailbox<T> {
  let items: T[] = [];
  let taken = 0;
  let wake: (() => void) | undefined;
  const poll = (): T | undefined => {
    const item = items[taken];
    if (taken < items.length) taken++;
    if (taken === items.length) {
      items = [];
      taken = 0;
    }
    return item;
  };
  return {
    post(item) {
      items.push(item);
      wake?.();
      wake = undefined;
    },
    async next() {
      for (;;) {
        const item = poll();
        if (item !== undefined) return item;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    poll,
  };
}
