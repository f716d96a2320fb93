// What a panel has been told of guests' use, against what is in the spool and what the guests have used.
import type { Outcome } from '../../src/core/dispatch.ts';
import type { Chance } from './chance.ts';

interface Row {
  readonly vpsname: string;
  readonly timestamp: number;
  readonly diff_net_inbytes: number;
  readonly net_inbytes: number;
}

/** A sample's file, as far as it counts here. */
interface Stored {
  readonly state: {
    readonly boot_id: string;
    readonly guests: Readonly<Record<string, { readonly domid: number }>>;
  };
  readonly sample: { readonly timestamp: number; readonly guests: readonly Row[] };
}

/** A row with the life of the guest that it is of. */
interface Billed extends Row {
  readonly life: string;
  /** Which of all rows it was: the clock may be anything. */
  readonly order: number;
}

/** Whether a file of the spool is a sample. */
export const isSample = (path: string): boolean => /\/perfdata\/sample-[0-9]+\.json$/.test(path);
const keyOf = ({ vpsname, timestamp }: Row) => `${vpsname} at ${timestamp}`;

/** Both sides of the bill. Rows are known by their VPS and time: one that comes again is the same. */
export class Bill {
  /** Every row that was ever in the spool. */
  readonly #known = new Map<string, Billed>();
  /** Those that the panel has. */
  readonly #received = new Set<string>();
  #newest = 0;
  readonly #report: (told: string) => void;
  /** Whether a file could not be read or written: what was in it may be lost then. */
  is_damaged = false;
  constructor(report: (told: string) => void) {
    this.#report = report;
  }

  /** The newest timestamp that the panel has stored. */
  get newest(): number {
    return this.#newest;
  }

  /** A sample's file has got its name. */
  stored(text: string): void {
    const { state, sample } = JSON.parse(text) as Stored;
    for (const row of sample.guests) {
      const life = `${state.boot_id} ${state.guests[row.vpsname]?.domid}`;
      const known = this.#known.get(keyOf(row));
      if (known && (known.life !== life || known.net_inbytes !== row.net_inbytes)) {
        this.#report(`two samples of ${keyOf(row)}: a panel takes them for one`);
      }
      this.#known.set(keyOf(row), { ...row, life, order: known?.order ?? this.#known.size });
    }
  }

  /** A sample's file is deleted. */
  deleted(text: string): void {
    for (const row of (JSON.parse(text) as Stored).sample.guests) {
      if (this.#received.has(keyOf(row))) continue;
      this.#report(`the sample of ${keyOf(row)} was deleted, and no panel has read it`);
    }
  }

  /** An answer with samples: the panel reads it, or its connection is cut before or after that. */
  async receive({ output, answered }: Outcome & { ok: true }, chance: Chance): Promise<void> {
    const fate = chance.below(4);
    if (fate !== 0) {
      for (const row of output['sample'] as readonly Row[]) {
        this.#received.add(keyOf(row));
        this.#newest = Math.max(this.#newest, row.timestamp);
      }
    }
    await answered(fate >= 2);
  }

  /** Of each life of a guest, all that its newest row counts is billed by the rows that the panel has or will get: once. */
  settle(spool: readonly string[]): void {
    const kept = spool.flatMap((text) => (JSON.parse(text) as Stored).sample.guests.map(keyOf));
    const keys = new Set([...this.#received, ...kept]);
    const lives = new Map<string, { vps: string; billed: number; counted: number; first: Billed }>();
    for (const key of keys) {
      const row = this.#known.get(key);
      if (!row) continue;
      const life = lives.get(`${row.vpsname} ${row.life}`) ?? {
        vps: row.vpsname,
        billed: 0,
        counted: 0,
        first: row,
      };
      life.billed += row.diff_net_inbytes;
      life.counted = Math.max(life.counted, row.net_inbytes);
      if (row.order < life.first.order) life.first = row;
      lives.set(`${row.vpsname} ${row.life}`, life);
    }
    for (const [name, { billed, counted, first }] of lives) {
      // What guests had used before the first sample of all is nobody's bill.
      const free = first.diff_net_inbytes === 0 ? first.net_inbytes : 0;
      if (billed > counted) this.#report(`${name} is billed ${billed} bytes, and has used ${counted}`);
      if (billed < counted - free && !this.is_damaged)
        this.#report(`${name} is billed ${billed} bytes, and has used ${counted}`);
    }
  }
}
