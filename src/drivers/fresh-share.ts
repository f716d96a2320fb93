/**
 * Shares one costly reading between concurrent callers, without ever handing out one that began before the caller asked:
 * callers of the same tick share a reading; those who come while one is under way share the next.
 */
export function shareFresh<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> | undefined;
  let next: Promise<T> | undefined;

  const begin = async (): Promise<T> => {
    await running?.catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    next = undefined;
    const reading = read();
    running = reading;
    return reading;
  };
  return () => {
    next ??= begin();
    return next;
  };
}
