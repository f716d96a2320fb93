/** Runs what it is given one after the other, in the order of the calls; one that fails does not stop the next. */
export type Exclusive = <T>(run: () => Promise<T>) => Promise<T>;

/** Makes an {@link Exclusive} of its own queue. */
export function createExclusive(): Exclusive {
  let last: Promise<unknown> = Promise.resolve();
  return (run) => {
    const result = last.then(run);
    last = result.catch(() => undefined);
    return result;
  };
}
