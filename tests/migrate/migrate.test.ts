// dtc-xen_migrate from one fake node to another, over a line that is cut, killed and falsified.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startTwoNodes, type TwoNodes } from './two-nodes.ts';

const MIB = 1024 * 1024;

let nodes: TwoNodes;
beforeAll(async () => {
  nodes = await startTwoNodes({}, { volume_group: 'vg1', size_mib: 96 });
});
afterEach(() => nodes.setTrouble());
afterAll(() => nodes?.stop());

const migrate = (...args: string[]) => nodes.here.migrate(...args);
const latin1 = (path: string) => readFileSync(path, 'latin1');
const same = (a: string, b: string) => expect(readFileSync(a).equals(readFileSync(b))).toBe(true);

/** A move that fails leaves both nodes as they were. */
async function failing(args: readonly string[]): Promise<string> {
  const before = [nodes.here.snapshot(), nodes.there.snapshot()];
  const { code, out, said } = await migrate(...args);
  expect([code, out]).toEqual([1, '']);
  expect([nodes.here.snapshot(), nodes.there.snapshot()]).toEqual(before);
  return said;
}

describe('a VPS comes over whole', () => {
  it('volumes, in another volume group, under another name', async () => {
    const { here, there } = nodes;
    await nodes.makeVps(here, 'xen01', { more_disks: ", ',hdc:cdrom,r', 'file:/srv/tools.iso,hdd:cdrom,r'" });
    const kept = here.snapshot();
    const { code, out, said } = await here.run('dtc-xen_migrate', '01', 'node2', '07');
    expect([code, said.split('\n')]).toEqual([
      0,
      [
        '/srv/tools.iso is not a disk of its own and is not moved: copy it to node2 by hand, or take it out of /etc/xen/xen07 there.',
        '',
      ],
    ]);
    expect(out).toMatch(
      /^node2 has xen01 as xen07: 8 MB, 7 MB of them not zeros, read back there and the same\.$/m,
    );
    expect(out).toMatch(/^Next, on node2: dtc-xen-agent call startVPS xen07$/m);
    expect(out).toMatch(/^When it runs there, here: dtc_kill_vps_disk xen01 lvm$/m);
    same(here.volume('xen01'), there.volume('xen07'));
    same(here.volume('xen01swap'), there.volume('xen07swap'));
    expect(latin1(there.config('xen07'))).toBe(
      latin1(here.config('xen01'))
        .replace("name = 'xen01'", "name = 'xen07'")
        .replace(`phy:${here.volume('xen01')},`, `phy:${there.volume('xen07')},`)
        .replace(`phy:${here.volume('xen01swap')},`, `phy:${there.volume('xen07swap')},`),
    );
    expect(statSync(there.config('xen07')).mode & 0o777).toBe(0o600);
    expect([existsSync(there.link('xen07')), existsSync(here.link('xen01'))]).toEqual([true, false]);
    expect(here.snapshot()).toEqual(kept.filter((line) => !line.includes('auto/xen01')));
    expect(nodes.sent()).toBeLessThan(8 * MIB);
  });

  it('image files, under the same name, without an autostart link; the kernel is missing there', async () => {
    const { here, there } = nodes;
    await nodes.makeVps(here, 'xen02', {
      type: 'vbd',
      autostart: false,
      more: 'ramdisk = "/boot/initrd.old"',
    });
    const { code, said } = await migrate('xen02', 'node2');
    expect([code, said]).toEqual([
      0,
      `node2: /boot/initrd.old is not there: put it there, or name another one in ${there.config('xen02')}.\n`,
    ]);
    same(here.image('xen02.img'), there.image('xen02.img'));
    same(here.image('xen02.swap.img'), there.image('xen02.swap.img'));
    expect(latin1(there.config('xen02'))).toContain(`target=${there.image('xen02.img')}"`);
    expect(existsSync(there.link('xen02'))).toBe(false);
  });

  it('to a node that makes disks in larger units, whose rest is empty', async () => {
    const { here, there } = nodes;
    await nodes.makeVps(here, 'xen03', { type: 'vbd' });
    // As DTC-Xen may have made it: no whole number of MB.
    writeFileSync(here.image('xen03.swap.img'), Buffer.alloc(MIB + 100, 'x'));
    const { code, said } = await migrate('03', 'node2');
    expect([code, said]).toEqual([0, expect.stringContaining(`${MIB - 100} bytes larger there`)]);
    const swap = readFileSync(there.image('xen03.swap.img'));
    expect(swap.equals(Buffer.concat([Buffer.alloc(MIB + 100, 'x'), Buffer.alloc(MIB - 100)]))).toBe(true);
  });
});

describe('nothing is done', () => {
  beforeAll(() => nodes.makeVps(nodes.here, 'xen10'));

  it('with a VPS that runs', async () => {
    await nodes.makeVps(nodes.here, 'xen11');
    await nodes.here.run('dtc-xen-agent', 'call', 'startVPS', 'xen11');
    expect(await failing(['11', 'node2'])).toMatch(
      /^dtc-xen_migrate: xen11 cannot be moved: Xen has it as domain \d+, .*: shut it down first\.\n$/,
    );
  });

  it('with one that is started while it is copied', async () => {
    const { here, there } = nodes;
    await there.fake.setFault({ match: 'lvcreate xen10swap', mode: 'slow', delay_ms: 1_000 });
    const moved = failing(['10', 'node2']);
    await expect.poll(() => existsSync(there.volume('xen10')), { timeout: 120_000 }).toBe(true);
    execFileSync(join(here.fake.bin, 'xl'), ['create', here.config('xen10')], { stdio: 'ignore' });
    expect(await moved).toMatch(/xen10 cannot be moved: Xen has it as domain .* xen10 here is as it was\.$/m);
    execFileSync(join(here.fake.bin, 'xl'), ['destroy', 'xen10'], { stdio: 'ignore' });
    await there.fake.clearFaults();
  });

  it('with one that was started, wrote, and was stopped again while it was copied', async () => {
    const { here, there } = nodes;
    await there.fake.setFault({ match: 'lvcreate xen10swap', mode: 'slow', delay_ms: 3_000 });
    const moved = failing(['10', 'node2']);
    await expect.poll(() => existsSync(there.volume('xen10')), { timeout: 120_000 }).toBe(true);
    execFileSync(join(here.fake.bin, 'xl'), ['create', here.config('xen10')], { stdio: 'ignore' });
    // What is there already: `failing` wants the disk to be as it was.
    writeFileSync(here.volume('xen10'), readFileSync(here.volume('xen10')).subarray(0, 16), { flag: 'r+' });
    execFileSync(join(here.fake.bin, 'xl'), ['destroy', 'xen10'], { stdio: 'ignore' });
    expect(await moved).toMatch(
      /something wrote to .*\/xen10 while it was copied .* xen10 here is as it was\.$/m,
    );
    expect(existsSync(there.config('xen10'))).toBe(false);
    await there.fake.clearFaults();
  });

  it('with one that is not there, or not whole', async () => {
    expect(await failing(['12', 'node2'])).toContain('xen12 has no disks');
    await nodes.here.run('dtc_setup_vps_disk', '12', '8', '4');
    expect(await failing(['12', 'node2'])).toContain('xen12 cannot be moved: it has no configuration');
    writeFileSync(
      nodes.here.config('xen12'),
      'name = "xen12"\nkernel = "/x"\ndisk = [ "phy:/dev/vg0/xen99,xvda,w" ]\n',
    );
    expect(await failing(['12', 'node2'])).toContain('its configuration does not name its disk');
    writeFileSync(nodes.here.config('xen12'), 'name = "xen13"\n');
    expect(await failing(['12', 'node2'])).toContain('its configuration gives it another name');
  });

  it('where the other node has one of that name, and that one stays as it is', async () => {
    const { there } = nodes;
    await nodes.makeVps(there, 'xen14');
    expect(await failing(['10', 'node2', '14'])).toMatch(
      /^dtc-xen_migrate: node2: xen14 cannot be received: This node has a VPS of that name \(.*dtc_kill_vps_disk xen14 lvm\. xen10 here is as it was\.$/m,
    );
    writeFileSync(there.config('xen15'), 'name = "xen15"\n');
    expect(await failing(['10', 'node2', '15'])).toContain('xen15, without disks. Nothing was touched');
    execFileSync(join(there.fake.bin, 'lvcreate'), [
      '-y',
      '-W',
      'y',
      '-L',
      '4194304b',
      '-n',
      'xen22.old',
      'vg1',
    ]);
    expect(await failing(['10', 'node2', '22'])).toMatch(/This node has disks of that name .*xen22\.old/);
    expect((await there.run('dtc-xen-agent', 'call', 'startVPS', 'xen14')).code).toBe(0);
    expect(await failing(['10', 'node2', '14'])).toContain('xen14 cannot be received: Xen has it as domain');
  });

  it('where there is no room, and half-made disks go again', async () => {
    const { here, there } = nodes;
    await here.run('dtc_setup_vps_disk', '16', '88', '4');
    writeFileSync(here.config('xen16'), `name = "xen16"\ndisk = [ "phy:${here.volume('xen16')},xvda,w" ]\n`);
    expect(await failing(['16', 'node2'])).toMatch(
      /node2: xen16: its disks need 92 MB, and volume group vg1 has \d+ MB free\./,
    );
    await here.run('dtc_kill_vps_disk', '16');
    await there.fake.setFault({ match: 'lvcreate xen10swap', mode: 'fail', stderr: 'the disk is broken' });
    expect(await failing(['10', 'node2'])).toContain(
      'node2: xen10swap: lvcreate failed (exit code 1): the disk is broken',
    );
    await there.fake.clearFaults();
  });

  it('while somebody else holds the VPS, here or there', async () => {
    for (const [node, vps, dest] of [
      [nodes.here, 'xen10', 'xen17'],
      [nodes.there, 'xen17', 'xen17'],
    ] as const) {
      const lock = join(node.root, 'run/lock', `${vps}.lock`);
      const holder = spawn('flock', ['--no-fork', lock, 'sh', '-c', 'echo; exec cat'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      await once(holder.stdout, 'data');
      expect(await failing(['10', 'node2', dest])).toMatch(new RegExp(`${vps} is busy: held by`));
      holder.stdin.end();
      await once(holder, 'exit');
    }
  });

  it.each([
    ['-oProxyCommand=touch x', 'Unknown option'],
    ['node2;reboot', 'The host must be'],
    ['$(reboot)', 'The host must be'],
    ['-l@node2', 'Unknown option'],
    ['a b@node2', 'The host must be'],
    ['root@node2@node3', 'The host must be'],
    ['node2\nnode3', 'The host must be'],
    ['fe80::1%eth0;x', 'The host must be'],
    ['', 'The host must be'],
  ])('for the host %j', async (host, message) => {
    const { code, said } = await migrate('10', host);
    expect([code === 0, said]).toEqual([false, expect.stringContaining(message)]);
  });

  it.each(['../10', 'xen10;id', '', '123456', 'node2'])('for the VPS %j', async (vps) => {
    const told = 'The VPS must be a name such as xen01';
    expect(await migrate(vps, 'node2')).toMatchObject({ code: 1, said: expect.stringContaining(told) });
    expect(await migrate('10', 'node2', vps)).toMatchObject({ code: 1, said: expect.stringContaining(told) });
  });

  it('where ssh does not come to dtc-xen_migrate', async () => {
    expect(await failing(['10', 'root@node3.example.com'])).toMatch(
      /^dtc-xen_migrate: root@node3\.example\.com: the connection has ended \(ssh: 255\): ssh: Could not resolve hostname/,
    );
    nodes.setTrouble({ say: 'Welcome to \x1b[1mnode2\n' });
    expect(await failing(['10', 'node2'])).toContain(
      'cannot be understood: Welcome to ?[1mnode2; is it of another version',
    );
  });
});

describe('a line that breaks', () => {
  it.each([200, 2 * MIB, '"commit"'])('at %j leaves nothing there, and all here', async (cut) => {
    nodes.setTrouble({ cut });
    expect(await failing(['10', 'node2'])).toMatch(
      /^dtc-xen_migrate: node2: The connection ended before everything was here\. xen10 here is as it was\.$/m,
    );
  });

  it.each([
    [1, 'cannot be understood'],
    ['xvda', 'the header that came is not what was sent'],
    [2 * MIB, 'what its root disk holds now is not what was sent'],
  ])('or falsifies %j is found out', async (flip, message) => {
    nodes.setTrouble({ flip });
    expect(await failing(['10', 'node2'])).toContain(message);
  });

  it('and a disk that holds something else than was written are found out', async () => {
    const dd = join(nodes.there.fake.bin, 'dd');
    const spoil =
      'printf x | /usr/bin/dd of="$(echo "$1" | cut -c 4-)" bs=1 seek=3500000 conv=notrunc status=none';
    writeFileSync(dd, `#!/bin/sh\n${spoil}\nexec /usr/bin/dd "$@"\n`, { mode: 0o755 });
    expect(await failing(['10', 'node2'])).toContain('what its root disk holds now is not what was sent');
    rmSync(dd);
  });

  it('when the other node has it all: it starts by itself on neither', async () => {
    const { here, there } = nodes;
    await nodes.makeVps(here, 'xen20');
    nodes.setTrouble({ cut: '"autostart"' });
    expect(await migrate('20', 'node2')).toEqual({
      code: 1,
      out: '',
      said: 'dtc-xen_migrate: node2: The connection ended before everything was here. node2 has the whole of xen20; see here and there which of them has its link in /etc/xen/auto, and start only one.\n',
    });
    same(here.volume('xen20'), there.volume('xen20'));
    expect(existsSync(there.config('xen20'))).toBe(true);
    expect([existsSync(there.link('xen20')), existsSync(here.link('xen20'))]).toEqual([false, false]);
    expect(await there.run('dtc-xen-agent', 'call', 'startVPS', 'xen20')).toMatchObject({ code: 0 });
  });

  it('because the receiver was told to end leaves nothing there', async () => {
    nodes.setTrouble({ kill: 2 * MIB, signal: 'SIGTERM' });
    expect(await failing(['10', 'node2'])).toContain('node2: The receiving of xen10 was ended by a signal.');
  });

  it('because the receiver was killed: what it leaves is named, and not written over', async () => {
    const { here, there } = nodes;
    const [before_here, before_there] = [here.snapshot(), there.snapshot()];
    nodes.setTrouble({ kill: '"commit"' });
    expect(await migrate('10', 'node2', '18')).toMatchObject({
      code: 1,
      said: expect.stringMatching(/It is not known whether node2 has it now: where there is .*\/xen18 there/),
    });
    expect([existsSync(there.volume('xen18')), existsSync(there.config('xen18'))]).toEqual([true, false]);
    await there.run('dtc_kill_vps_disk', 'xen18', 'lvm');
    nodes.setTrouble({ kill: 2 * MIB });
    const killed = await migrate('10', 'node2', '18');
    expect(killed).toMatchObject({
      code: 1,
      said: expect.stringMatching(/node2: the connection has ended.* xen10 here is as it was\.$/m),
    });
    nodes.setTrouble();
    expect(here.snapshot()).toEqual(before_here);
    expect([existsSync(there.volume('xen18')), existsSync(there.config('xen18'))]).toEqual([true, false]);
    expect(await failing(['10', 'node2', '18'])).toMatch(
      /This node has disks of that name without a configuration, as a move that was cut off leaves them \(.*xen18.*if nobody needs it: dtc_kill_vps_disk xen18 lvm/,
    );
    expect(await there.run('dtc_kill_vps_disk', 'xen18', 'lvm')).toMatchObject({ code: 0 });
    expect(there.snapshot()).toEqual(before_there);
  });

  it('because the sender was killed leaves nothing there', async () => {
    const { here, there } = nodes;
    const before = [here.snapshot(), there.snapshot()];
    await there.fake.setFault({ match: 'lvcreate xen19swap', mode: 'slow', delay_ms: 1_500 });
    const sender = here.start('dtc-xen_migrate', ['10', 'node2', '19']);
    await expect.poll(() => existsSync(there.volume('xen19')), { timeout: 120_000 }).toBe(true);
    sender.kill('SIGKILL');
    const left = () => ['xen19', 'xen19swap'].filter((name) => existsSync(there.volume(name)));
    await expect.poll(left, { timeout: 120_000 }).toEqual([]);
    await expect.poll(() => [here.snapshot(), there.snapshot()]).toEqual(before);
    await there.fake.clearFaults();
  });
});
