/** Counts what is under way, by key; what has ended takes no memory. */
export class Tally {
  readonly #counts = new Map<string, number>();

  count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  /** One more; the function returned, called once, says that it has ended. */
  begin(key: string): () => void {
    this.#counts.set(key, this.count(key) + 1);
    return () => {
      const left = this.count(key) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    };
  }
}
