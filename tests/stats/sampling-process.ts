/**
 * A process to be killed: takes samples as fast as it can, hands some to a panel, and tells on standard output what is through.
 * Arguments: the state directory, and the time in ms that its counter counts from.
 */
import { writeSync } from 'node:fs';
import { pino } from 'pino';
import { createSamples } from '../../src/stats/samples.ts';

const [, , state_dir = '', started_ms = '0'] = process.argv;
const STDOUT = 1;
const now = () => performance.timeOrigin + performance.now();
let counter = 0;
const say = (line: object) => writeSync(STDOUT, `${JSON.stringify(line)}\n`);

const samples = createSamples({
  hypervisor: {
    list: async () => [
      { name: 'xen01', domid: 3, memory_mib: 384, vcpus: 1, state: '-b----', cpu_seconds: 1 },
    ],
    find: async () => undefined,
  },
  counters: {
    read: async () => {
      counter = Math.floor((now() - Number(started_ms)) * 1000);
      const guest = { vpsname: 'xen01', domid: 3, cpu_seconds: 1, vif_rx_bytes: counter, vif_tx_bytes: 0 };
      return { boot_id: 'a', guests: [guest] };
    },
  },
  config: { state_dir, perf_direction: 'dom0', perf_retention: 7 },
  log: pino({ level: 'warn' }, pino.destination(2)),
  now,
});

for (let round = 1; ; round += 1) {
  await samples.sampleNow();
  say({ counter });
  if (round % 4 !== 0) continue;
  const delivery = await samples.take(3);
  for (const sample of delivery.samples) say({ received: sample });
  await delivery.delivered();
}
