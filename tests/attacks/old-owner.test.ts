// The owner of a VPS that was deleted: had its name's password until then, and has connections that are open still. Each test is
// named after what the attacker has where it passes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { basic, head, rawConnection } from '../transport/server-fixture.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterAll(() => site.stop());

const disks = (vpsname: string) => ({ vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
const HVM = (vps: string, ramsize: number) => ({
  vpsname: vps,
  ramsize,
  allipaddrs: '192.0.2.10',
  vncpassword: 'secret',
  howtoboot: 'hdd',
});

async function sell(vpsname: string, password: string): Promise<void> {
  await site.modern('setupLVMDisks', disks(vpsname));
  await site.modern('changeVPSsoapPassword', { vpsname, password });
}

const envelope = (operation: string, params: Readonly<Record<string, string | number>>) => {
  const members = Object.entries(params).map(([name, value]) => `<${name}>${value}</${name}>`);
  return `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><${operation} xmlns="urn:dtc-xen">${members.join('')}</${operation}></Body></Envelope>`;
};

/** A request that was let in, and whose last byte is held back. */
async function holdBack(user: string, password: string, body: string) {
  const connection = await rawConnection(site.daemon().port);
  const lines = ['Content-Type: text/xml', `Content-Length: ${body.length}`, 'Expect: 100-continue'];
  connection.socket.write(head(lines, basic(user, password)));
  await connection.until(/^HTTP\/1\.1 100 /, 60_000);
  connection.socket.write(body.slice(0, -1));
  return {
    async send(): Promise<string> {
      connection.socket.write(body.slice(-1));
      await connection.until(/\r\n\r\nHTTP\/1\.1 [0-9]{3} .*?\r\n\r\n/s, 60_000);
      connection.socket.destroy();
      return /\r\n\r\nHTTP\/1\.1 ([0-9]{3})/.exec(connection.text())?.[1] ?? '';
    },
  };
}

const knows = (user: string, password: string) =>
  site.modern('testVPSServer', {}, site.endpoint(user, password)).then(
    () => true,
    () => false,
  );

describe('with a request that was let in before', () => {
  it("killVPS and the next sale: the next customer's VPS, by a password that it sets", async () => {
    await sell('xen11', 'of the first');
    const held = await holdBack(
      'xen11',
      'of the first',
      envelope('changeVPSsoapPassword', { vpsname: 'xen11', password: 'of the first again' }),
    );
    await site.modern('killVPS', { vpsname: 'xen11' });
    expect(await held.send()).toBe('401');
    await sell('xen11', 'of the next');
    expect(await knows('xen11', 'of the first again')).toBe(false);
    expect(await knows('xen11', 'of the next')).toBe(true);
  });

  it("the next sale: the next customer's configuration", async () => {
    await sell('xen12', 'of the first');
    const held = await holdBack('xen12', 'of the first', envelope('writeXenHVMconf', HVM('xen12', 64)));
    await site.modern('killVPS', { vpsname: 'xen12' });
    await sell('xen12', 'of the first');
    await site.modern('writeXenHVMconf', HVM('xen12', 128));
    expect(await held.send()).toBe('401');
    expect(await site.modern('getVPSState', { vpsname: 'xen12' })).toMatchObject({ state: 'stopped' });
  });

  it('a change of the password by the admin, who wanted the caller out', async () => {
    await sell('xen13', 'that leaked');
    const held = await holdBack('xen13', 'that leaked', envelope('startVPS', { vpsname: 'xen13' }));
    await site.modern('changeVPSsoapPassword', { vpsname: 'xen13', password: 'that is new' });
    expect(await held.send()).toBe('401');
  });

  it('nobody is put out by the change of a password that is not theirs', async () => {
    await sell('xen14', 'of the one');
    const held = await holdBack('xen14', 'of the one', envelope('getVPSState', { vpsname: 'xen14' }));
    await site.modern('changeVPSsoapPassword', { vpsname: 'xen13', password: 'that is newer' });
    expect(await held.send()).toBe('200');
  });
});
