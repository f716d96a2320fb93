/** How much somebody is trusted who connects: 0 unknown, 1 a user has logged in from there, 2 the admin has. */
type Trust = 0 | 1 | 2;

/** So many addresses are remembered; the one that logged in longest ago is forgotten. */
const MOST_REMEMBERED = 1024;

interface Place {
  readonly groups: readonly string[];
}

/**
 * Who has a place, of a limited number. None has more than its share, and where all are taken, one who is trusted more gets the place
 * of one who is trusted less, and one who has few that of one who has many: an attacker with many connections from many addresses
 * takes none from a panel.
 */
export class Places<T extends object> {
  readonly #taken = new Map<T, Place>();
  readonly #count = new Map<string, number>();
  readonly #trust = new Map<string, Trust>();
  readonly #limits: { readonly connections: number; readonly connections_per_address: number };
  readonly #mayBePutOut: (one: T) => boolean;

  /** @param mayBePutOut whether nothing is under way there */
  constructor(
    limits: { readonly connections: number; readonly connections_per_address: number },
    mayBePutOut: (one: T) => boolean,
  ) {
    this.#limits = limits;
    this.#mayBePutOut = mayBePutOut;
  }

  /**
   * Somebody comes, of these groups of addresses, the smallest first: whether there is a place, and who loses one for that.
   */
  come(one: T, groups: readonly string[]): { readonly is_in: boolean; readonly put_out?: T } {
    const { connections, connections_per_address } = this.#limits;
    if (groups.some((group) => this.#of(group) >= connections_per_address)) return { is_in: false };
    const put_out = this.#taken.size >= connections ? this.#whoGoes(groups) : undefined;
    if (this.#taken.size >= connections && !put_out) return { is_in: false };
    if (put_out) this.leave(put_out);
    this.#taken.set(one, { groups });
    for (const group of groups) this.#count.set(group, this.#of(group) + 1);
    return { is_in: true, ...(put_out && { put_out }) };
  }

  /** Somebody is gone; one who was put out is so already. */
  leave(one: T): void {
    const place = this.#taken.get(one);
    if (!place) return;
    this.#taken.delete(one);
    for (const group of place.groups) {
      const left = this.#of(group) - 1;
      if (left > 0) this.#count.set(group, left);
      else this.#count.delete(group);
    }
  }

  trust([group = '']: readonly string[], trust: 1 | 2): void {
    const most = Math.max(trust, this.#trust.get(group) ?? 0) as Trust;
    this.#trust.delete(group);
    this.#trust.set(group, most);
    if (this.#trust.size <= MOST_REMEMBERED) return;
    for (const oldest of this.#trust.keys()) {
      this.#trust.delete(oldest);
      return;
    }
  }

  #of(group: string): number {
    return this.#count.get(group) ?? 0;
  }

  #trustOf([group = '']: readonly string[]): Trust {
    return this.#trust.get(group) ?? 0;
  }

  #most(groups: readonly string[]): number {
    return Math.max(...groups.map((group) => this.#of(group)));
  }

  /** The oldest of those who have most, among those who are trusted least; undefined where they have the same right to it. */
  #whoGoes(groups: readonly string[]): T | undefined {
    let found: { one: T; trust: Trust; has: number } | undefined;
    for (const [one, place] of this.#taken) {
      if (!this.#mayBePutOut(one)) continue;
      const [trust, has] = [this.#trustOf(place.groups), this.#most(place.groups)];
      if (!found || trust < found.trust || (trust === found.trust && has > found.has))
        found = { one, trust, has };
    }
    const trust = this.#trustOf(groups);
    const is_less =
      found && (found.trust < trust || (found.trust === trust && found.has > this.#most(groups) + 1));
    return is_less ? found?.one : undefined;
  }
}
