import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADDRESSES, type Family, Network, type Who } from './network.ts';

const FAMILIES: Family[] = ['ipv4', 'ipv6'];
const both = (who: Who) => `${ADDRESSES[who].ipv4} ${ADDRESSES[who].ipv6}`;
const DEFAULTS = `soap_addresses="${both('panel')}"\ntrusted_addresses="${both('friend')}"\n`;

let network: Network;
beforeAll(async () => {
  network = await Network.create();
});
afterAll(() => network?.destroy());

interface Burst {
  readonly sent: number;
  readonly passed: number;
  readonly elapsed_s: number;
}

/** Says what a burst came to, and holds it against COUNT at once and COUNT more, evenly, in every SECONDS. */
function expectLimited(what: string, burst: Burst, count: number, seconds: number): void {
  const most = count + Math.ceil((burst.elapsed_s * count) / seconds) + 1;
  process.stdout.write(
    `${what}: ${burst.passed} of ${burst.sent} passed (limit ${count}/${seconds}, ${burst.elapsed_s.toFixed(3)} s)\n`,
  );
  expect(burst.passed).toBeGreaterThanOrEqual(count);
  expect(burst.passed).toBeLessThanOrEqual(most);
  expect(burst.passed, 'the limit did not bite').toBeLessThan(burst.sent);
}

describe.each(FAMILIES)('dom0, %s', (family) => {
  it.each([
    ['ping', 40, 5],
    ['syn', 60, 10],
    ['rst', 60, 10],
  ] as const)(
    'lets few of a flood of %s through, and all from a trusted address',
    async (kind, sent, count) => {
      await network.load(DEFAULTS);
      const burst = await network.flood(family, 'stranger', 'dom0', kind, sent, 81);
      expectLimited(`${kind} to dom0, ${family}`, burst, count, 1);
      expect(await network.flood(family, 'friend', 'dom0', kind, sent, 81)).toMatchObject({ passed: sent });
    },
  );

  it('limits ssh for each address, of IPv6 each /64', async () => {
    await network.load(`${DEFAULTS}syn_dom0_limit=1000/1`);
    expectLimited(
      `ssh to dom0, ${family}`,
      await network.flood(family, 'stranger', 'dom0', 'syn', 30, 22),
      10,
      300,
    );
    expect(await network.connect(family, 'stranger', 'dom0', 22, 1)).toMatchObject({ silent: 1 });
    expect(await network.connect(family, 'neighbour', 'dom0', 22, 2)).toMatchObject(
      family === 'ipv6' ? { silent: 2 } : { answered: 2 },
    );
    expect(await network.connect(family, 'panel', 'dom0', 22, 5)).toMatchObject({ answered: 5 });
    expect(await network.connect(family, 'friend', 'dom0', 22, 12)).toMatchObject({ answered: 12 });
  });

  it('lets the panel alone to the SOAP server: 60 calls in a row, a connection each, through a flood of others', async () => {
    await network.load(DEFAULTS);
    await network.flood(family, 'stranger', 'dom0', 'syn', 60, 80);
    expect(await network.connect(family, 'panel', 'dom0', 8089, 60)).toMatchObject({ answered: 60 });
    expect(await network.connect(family, 'stranger', 'dom0', 8089, 2)).toMatchObject({ refused: 2 });
    expect(await network.connect(family, 'guest1', 'dom0', 8089, 2)).toMatchObject({ refused: 2 });
  });

  it('limits each address where everyone may reach the SOAP server, but those that are named with it', async () => {
    await network.load(`soap_addresses="0.0.0.0/0 ::/0 ${both('panel')}"\n`);
    const strangers = await network.flood(family, 'stranger', 'dom0', 'syn', 60, 8089);
    expectLimited(`SOAP, ${family}`, strangers, 20, 5);
    expect(await network.connect(family, 'panel', 'dom0', 8089, 60)).toMatchObject({ answered: 60 });
  });

  it('closes port 25 to all but itself, and no other', async () => {
    await network.load(DEFAULTS);
    expect(await network.connect(family, 'stranger', 'dom0', 25, 2)).toMatchObject({ refused: 2 });
    expect(await network.connect(family, 'stranger', 'dom0', 80, 4)).toMatchObject({ answered: 4 });
    expect(await network.connect(family, 'dom0', 'dom0', 25, 12)).toMatchObject({ answered: 12 });
    expect(await network.connect(family, 'dom0', 'dom0', 8089, 12)).toMatchObject({ answered: 12 });
  });
});

describe.each(FAMILIES)('guests, %s', (family) => {
  it.each([
    ['ping', 150, 50],
    ['syn', 300, 100],
    ['rst', 4000, 1000],
  ] as const)(
    'lets no flood of %s to a guest or from it, and the other guest has its own',
    async (kind, sent, count) => {
      await network.load(DEFAULTS);
      expectLimited(
        `${kind} to a guest, ${family}`,
        await network.flood(family, 'stranger', 'guest1', kind, sent, 81),
        count,
        1,
      );
      expect(await network.flood(family, 'stranger', 'guest2', kind, count)).toMatchObject({ passed: count });
      await network.load(DEFAULTS);
      expectLimited(
        `${kind} from a guest, ${family}`,
        await network.flood(family, 'guest1', 'stranger', kind, sent, 81),
        count,
        1,
      );
      expect(await network.flood(family, 'guest2', 'stranger', kind, count)).toMatchObject({ passed: count });
    },
  );

  it('limits ssh to each guest from each address, and from each guest', async () => {
    await network.load(DEFAULTS);
    expectLimited(
      `ssh to a guest, ${family}`,
      await network.flood(family, 'stranger', 'guest1', 'syn', 20, 22),
      5,
      10,
    );
    expect(await network.connect(family, 'panel', 'guest1', 22, 4)).toMatchObject({ answered: 4 });
    expect(await network.connect(family, 'stranger', 'guest2', 22, 4)).toMatchObject({ answered: 4 });
    expectLimited(
      `ssh from a guest, ${family}`,
      await network.flood(family, 'guest1', 'guest2', 'syn', 20, 22),
      5,
      10,
    );
  });

  it("lets guests' normal traffic through, and leaves their mail and SOAP ports alone", async () => {
    await network.load(DEFAULTS);
    for (const port of [25, 80, 8089]) {
      expect(await network.connect(family, 'stranger', 'guest1', port, 10)).toMatchObject({ answered: 10 });
      expect(await network.connect(family, 'guest1', 'stranger', port, 10)).toMatchObject({ answered: 10 });
    }
    expect(await network.connect(family, 'guest1', 'dom0', 80, 3)).toMatchObject({ answered: 3 });
    expect(await network.pings(family, 'guest1', 'guest2', 10, 20)).toEqual({ sent: 10, passed: 10 });
  });

  it('limits guests that dom0 routes to as those that are bridged', async () => {
    await network.load(DEFAULTS);
    expectLimited(
      `ping to a routed guest, ${family}`,
      await network.flood(family, 'stranger', 'routed', 'ping', 150),
      50,
      1,
    );
    expectLimited(
      `ping from a routed guest, ${family}`,
      await network.flood(family, 'routed', 'stranger', 'ping', 150),
      50,
      1,
    );
    expect(await network.connect(family, 'stranger', 'routed', 80, 10)).toMatchObject({ answered: 10 });
  });
});
