// A guest that reboots itself is another domain for Xen, with counters that begin anew; what is billed goes on.
import { afterAll, expect, it } from 'vitest';
import { Console, consoleShows, dom0, domid, install, modern, until } from './node.ts';

const vpsname = 'xen10';
const UP = 'bare guest is up';

interface Row {
  readonly vpsname: string;
  readonly [counter: string]: number | string;
}

let guest: Console;
afterAll(() => guest?.close());

/** Every sample's row of this VPS since the last call. */
async function newRows(): Promise<Row[]> {
  const { sample = [] } = (await modern('getCollectedPerformanceData', { count: 0 })) as {
    sample?: Row | Row[];
  };
  return [sample].flat().filter((row) => row.vpsname === vpsname);
}

/** The rows up to the first one that is taken from now on. */
async function rowsUntilNow(): Promise<Row[]> {
  const now_s = Number(await dom0('date +%s'));
  const rows: Row[] = [];
  return until('a sample', 100, async () => {
    rows.push(...(await newRows()));
    return Number(rows.at(-1)?.['timestamp']) >= now_s ? rows : undefined;
  });
}

it('reboot from inside: a new domain id; the differences sampled add up to what the new domain has', async () => {
  expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
  await modern('startVPS', { vpsname });
  await consoleShows(vpsname, UP);
  const first_domid = (await domid(vpsname)) ?? 0;
  guest = new Console(vpsname);
  const traffic = async (packets: number, megabytes: number) => {
    await guest.run(`/bin/busybox ping -q -c ${packets} -s 20000 10.0.2.15`);
    for (const disk of ['/dev/xvda', '/dev/xvdb'])
      await guest.run(`/bin/busybox dd if=${disk} of=/dev/null bs=1M count=${megabytes}`);
  };
  await traffic(6, 40);
  const before = (await rowsUntilNow()).at(-1);
  guest.type('/bin/busybox reboot -f');
  const second = await until('a new domain', 120, async () => {
    const now = await domid(vpsname);
    return now !== undefined && now > first_domid ? now : undefined;
  });
  expect(second).toBeGreaterThan(first_domid);
  guest.close();
  await consoleShows(vpsname, UP, 2);
  guest = new Console(vpsname);
  await traffic(2, 4);
  const rows = await rowsUntilNow();
  guest.close();
  await modern('destroyVPS', { vpsname });
  for (const name of ['net_inbytes', 'net_outbytes', 'filesystem_sectors', 'swap_sectors']) {
    const own = rows.filter((row) => Number(row[name]) < Number(before?.[name]));
    const billed = own.reduce((sum, row) => sum + Number(row[`diff_${name}`]), 0);
    expect(Number(own.at(-1)?.[name]), name).toBeGreaterThan(0);
    expect(billed, name).toBe(Number(own.at(-1)?.[name]));
  }
});
