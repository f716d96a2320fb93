import { mkdir, readFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { writeFileAtomic } from './atomic-file.ts';

/** The running kernel's boot_id (random(4)). */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
}

/**
 * How long this node has been up, over all of its boots that were seen: a clock that never jumps, whatever the wall clock says.
 * What is deleted for its age ages by it.
 */
export interface SteadyClock {
  /** Seconds; never less than before. */
  now_s(): Promise<number>;
  /** Notes the time, so that it goes on from here after the next boot. The daemon alone does. */
  save(): Promise<void>;
}

const noted = z.object({
  total_s: z.number().nonnegative(),
  boot_id: z.string(),
  uptime_s: z.number().nonnegative(),
});

/** Makes the {@link SteadyClock} that is noted in `state_dir/uptime.json`; the kernel's clock and boot_id are for tests. */
export function createSteadyClock(
  { state_dir }: { readonly state_dir: string },
  kernel: { readonly uptime_s: () => number; readonly bootId: () => Promise<string> } = {
    uptime_s: uptime,
    bootId,
  },
): SteadyClock {
  const file = join(state_dir, 'uptime.json');

  /** One that is missing or damaged begins anew: what is kept is kept longer then. */
  async function read(): Promise<z.output<typeof noted>> {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    return noted.safeParse(value).data ?? { total_s: 0, boot_id: '', uptime_s: 0 };
  }

  /** The time, in the terms of this boot; one that was never noted in this boot begins where the last one was noted. */
  async function now() {
    const { total_s, boot_id: then, uptime_s: from_s } = await read();
    const [boot_id, uptime_s] = [await kernel.bootId(), kernel.uptime_s()];
    const grown_s = then === boot_id ? Math.max(0, uptime_s - from_s) : 0;
    return { total_s: total_s + grown_s, boot_id, uptime_s };
  }

  return {
    now_s: async () => (await now()).total_s,
    async save() {
      await mkdir(state_dir, { recursive: true, mode: 0o711 });
      await writeFileAtomic(file, `${JSON.stringify(await now())}\n`);
    },
  };
}
