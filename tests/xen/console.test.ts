// What a customer reaches over ssh on a real node: the console of the own guest, sftp into the home, and nothing else.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Answer,
  asUser,
  COMMANDS,
  FORWARDINGS,
  type Node,
  REFUSED,
  SUDO_COMMANDS,
  sftp,
  ssh,
} from '../console/attempts.ts';
import { inOrder } from './in-order.ts';
import { consoleShows, dom0, dom0Succeeds, modern, panel, until } from './node.ts';

const UP = 'bare guest is up';

const node: Node = {
  keys: '/root/console-keys',
  async run(command, input): Promise<Answer> {
    const printed = await dom0(`{ ${command}\n} 2>&1; echo "<<$?>>"`, input);
    const [, said = '', code] = /^([\s\S]*)<<(\d+)>>$/.exec(printed) ?? [];
    return { code: Number(code), said };
  },
};
/** Somebody who looks at the console, and leaves it with Ctrl-]. */
const look = (user: string) =>
  node.run(`${ssh(node, user, '-tt')} < <(sleep 6; printf '\\035'; exec sleep 3 2>/dev/null)`);

beforeAll(async () => {
  await dom0(`mkdir -p ${node.keys}; cd ${node.keys}; for name in root xen41 xen42; do
    [ -e $name ] || ssh-keygen -q -t ed25519 -N '' -C $name -f $name; done; cat root.pub >> /root/.ssh/authorized_keys
    visudo -cqf /etc/sudoers.d/dtc-xen; sshd -t; systemctl reload ssh`);
  for (const vpsname of ['xen41', 'xen42']) {
    // A guest that is only an initrd: nothing to install, and quick to boot.
    await dom0(`printf '%s\\n' 'name = "${vpsname}"' 'memory = 128' 'kernel = "/var/cache/dtc-xen-lab/vmlinuz"' \\
      'ramdisk = "/var/cache/dtc-xen-lab/initrd-bare.img"' 'extra = "console=hvc0"' > /etc/xen/${vpsname}`);
    await modern('changeVPSsshKey', { vpsname, keystring: await dom0(`cat ${node.keys}/${vpsname}.pub`) });
    await modern('changeVPSxmPassword', { vpsname, password: 'not used here' });
    await modern('startVPS', { vpsname });
    await consoleShows(vpsname, UP);
  }
});
afterAll(async () => {
  for (const vpsname of ['xen41', 'xen42'])
    await dom0(
      `xl destroy ${vpsname} 2>/dev/null || true; lvremove -qq -y vg0/${vpsname} 2>/dev/null || true`,
    );
});

describe('a customer at the node', () => {
  inOrder();

  it('ssh: the console of the own guest, and its log over SOAP', async () => {
    const { said } = await look('xen41');
    expect(said).toContain('The console of xen41.');
    expect(said).toContain(UP);
    expect(await panel('getVPSConsoleLog', { vpsname: 'xen41', numlines: 0 })).toContain(UP);
    expect((await node.run('pgrep -f "[x]enconsole .*--num"')).said).toBe('');
  });

  it('ssh: no command', async () => {
    for (const command of COMMANDS) {
      const words = command.replaceAll("'", `'\\''`);
      const { code, said } = await node.run(`${ssh(node, 'xen41')} -- '${words}' </dev/null`);
      expect([command, code, said]).toEqual([command, 1, expect.stringMatching(REFUSED)]);
      expect(said).not.toContain('uid=');
    }
  });

  it('ssh: no forwarding, which the admin has', async () => {
    for (const { name, command } of FORWARDINGS) {
      expect([name, (await node.run(command(node, 'root'))).said]).toEqual([
        name,
        expect.stringContaining('FORWARDED'),
      ]);
      expect([name, (await node.run(command(node, 'xen41'))).said]).toEqual([
        name,
        expect.not.stringContaining('FORWARDED'),
      ]);
    }
  });

  it('sudo: no other console, no other program, no other arguments', async () => {
    for (const command of SUDO_COMMANDS) {
      const words = command.replaceAll('xen01', 'xen41').replaceAll('xen02', 'xen42');
      const { code, said } = await node.run(asUser('xen41', `sudo -n ${words} </dev/null`));
      expect([words, code]).toEqual([words, 1]);
      expect(said).not.toMatch(/uid=|bare guest/);
    }
  });

  it('sftp: an iso, which the agent lists, and no way out of the home', async () => {
    await node.run('head -c 100000 /dev/urandom > /tmp/my.iso');
    expect((await sftp(node, 'xen41', ['put /tmp/my.iso'])).code).toBe(0);
    expect(await panel('reportInstalledIso', { vpsname: 'xen41' })).toEqual(['my.iso']);
    for (const line of [
      'get /etc/shadow /tmp/x',
      'get ../../../etc/shadow /tmp/x',
      'get ../xen42/.ssh/authorized_keys /tmp/x',
      'ls /proc/1',
      'symlink /etc/shadow s.iso',
      'put /tmp/my.iso /etc/passwd',
    ])
      expect([line, (await sftp(node, 'xen41', [line])).code]).toEqual([line, 1]);
    expect(await dom0Succeeds('test -e /tmp/x')).toBe(false);
  });

  it('killVPS: a connection from before leads nowhere any more, and the log is gone', async () => {
    await dom0(
      `${ssh(node, 'xen41', '-M -N -f -S /tmp/kept.sock')} </dev/null >/dev/null 2>&1; ssh -S /tmp/kept.sock -O check x 2>&1`,
    );
    await modern('destroyVPS', { vpsname: 'xen41' });
    await modern('killVPS', { vpsname: 'xen41', imagetype: 'lvm' });
    await until('the end of the connection', 30, async () =>
      (await dom0Succeeds('ssh -S /tmp/kept.sock -O check x')) ? undefined : true,
    );
    expect((await node.run(`${ssh(node, 'xen41')} </dev/null`)).code).toBe(255);
    expect(await dom0('ls /var/log/xen/console | grep -c guest-xen41 || true')).toBe('0');
    expect((await look('xen42')).said).toContain('The console of xen42.');
  });
});
