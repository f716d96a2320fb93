// ssh, sftp and sudo as a customer of a node may try them: real sshd, real sudo, real users; the Xen alone is a fake.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { asUser, COMMANDS, FORWARDINGS, REFUSED, SUDO_COMMANDS, sftp, sftpCommand, ssh } from './attempts.ts';
import { type ConsoleNode, startConsoleNode } from './node.ts';

let node: ConsoleNode;
beforeAll(async () => {
  node = await startConsoleNode();
});
afterAll(() => node?.stop());
beforeEach(() => node.setRunning(['xen01', 'xen02']));

const HOME = '/var/lib/dtc-xen/ttyssh_home';
/** A session with somebody who types, and then leaves the console with Ctrl-]. */
const typing = (user: string, text: string, options = '-tt') =>
  node.run(
    `${ssh(node, user, options)} < <(sleep 1; printf '${text}\\n'; sleep 0.5; printf '\\035\\n'; exec sleep 2 2>/dev/null)`,
  );

describe('ssh', () => {
  it('connects with the console of the own VPS, as root, and with nothing else', async () => {
    for (const user of ['xen01', 'xen02']) {
      const { said } = await typing(user, 'hello; id');
      expect(said).toContain(`The console of ${user}.`);
      expect(said).toContain(`CONSOLE of ${user} for root`);
      expect(said).toContain('guest got: hello; id');
      expect(said).not.toContain('uid=');
    }
  });

  it('leaves nothing behind when the customer is gone', async () => {
    await node.run(`timeout 2 ${ssh(node, 'xen01', '-tt')} < <(exec sleep 5 2>/dev/null)`);
    await expect
      .poll(async () => (await node.run('pgrep -f "xl console|console/attach"')).said, { timeout: 90_000 })
      .toBe('');
  });

  it('says so where the VPS does not run', async () => {
    node.setRunning(['xen02']);
    expect(await node.run(ssh(node, 'xen01'))).toEqual({
      code: 1,
      said: 'dtc-xen: xen01 does not run, so it has no console now. Start it first.\n',
    });
  });

  it.concurrent.each(COMMANDS)('runs no command: %s', async (command) => {
    const { code, said } = await node.run(
      `${ssh(node, 'xen01')} -- '${command.replaceAll("'", `'\\''`)}' </dev/null`,
    );
    expect(said).toMatch(REFUSED);
    expect(said).not.toContain('uid=');
    expect(code).toBe(1);
  });

  it('has no other subsystem', async () => {
    expect((await node.run(`${ssh(node, 'xen01', '-s')} shell </dev/null`)).code).not.toBe(0);
  });

  it.concurrent.each(FORWARDINGS)('forwards nothing: $name', async (forwarding) => {
    // For the admin the same is carried: otherwise this would prove nothing.
    expect((await node.run(forwarding.command(node, 'root'))).said).toContain('FORWARDED');
    expect((await node.run(forwarding.command(node, 'xen01'))).said).not.toContain('FORWARDED');
  });

  it('forwards nothing by its effective configuration either, and leaves the admin what the admin had', async () => {
    const effective = async (user: string) =>
      (await node.run(`/usr/sbin/sshd -T -C user=${user},host=a.example,addr=192.0.2.1`)).said.split('\n');
    const theirs = await effective('xen01');
    for (const line of [
      'forcecommand console',
      'permittunnel no',
      'gatewayports no',
      'permituserrc no',
      'permituserenvironment no',
      'disableforwarding yes',
      'x11forwarding no',
      'allowagentforwarding no',
    ])
      expect(theirs).toContain(line);
    expect(await effective('root')).toEqual(
      expect.arrayContaining(['forcecommand none', 'disableforwarding no', 'permituserrc yes']),
    );
  });
});

describe('sftp', () => {
  it('takes an iso, which the agent then lists for this VPS alone', async () => {
    await node.run('head -c 300000 /dev/urandom > /tmp/my.iso');
    expect(
      await sftp(node, 'xen01', ['put /tmp/my.iso', 'put /tmp/my.iso other.iso', 'get my.iso /tmp/back.iso']),
    ).toMatchObject({ code: 0 });
    expect((await node.run('cmp /tmp/my.iso /tmp/back.iso')).code).toBe(0);
    const list = async (vps: string) =>
      JSON.parse((await node.run(`dtc-xen-agent call reportInstalledIso ${vps}`)).said);
    expect(await list('xen01')).toEqual({ iso: ['my.iso', 'other.iso'] });
    expect(await list('xen02')).toEqual({ iso: [] });
    expect((await node.run(`stat -c '%U %G %a' ${HOME}/xen01/my.iso`)).said).toBe('xen01 xenusers 600\n');
  });

  it('shows the home and what sftp-server itself needs', async () => {
    const { said } = await sftp(node, 'xen01', [
      'pwd',
      'ls -1a /',
      'ls -1 /etc',
      'get /etc/passwd /tmp/passwd',
    ]);
    expect(said).toContain('Remote working directory: /xen01');
    const seen = said.split('\n').filter((line) => line.startsWith('/'));
    expect(seen).toEqual(['/.', '/..', '/dev', '/etc', '/lib', '/lib64', '/usr', '/xen01', '/etc/passwd']);
    expect((await node.run('cat /tmp/passwd')).said).toMatch(
      /^xen01:x:\d+:\d+::\/xen01:\/usr\/sbin\/nologin\n$/,
    );
  });

  it.concurrent.each([
    ['get /etc/shadow /tmp/x', /not found|No such file/],
    ['get ../../../etc/shadow /tmp/x', /not found|No such file/],
    ['get ../xen02/.ssh/authorized_keys /tmp/x', /not found|No such file/],
    [`get ${HOME}/xen01/my.iso /tmp/x`, /not found|No such file/],
    ['get /xen01/planted.iso /tmp/x', /not found|No such file/],
    ['ls /proc/1/root', /not found|No such file/],
    ['symlink /etc/shadow s.iso', /unsupported|Permission denied/i],
    ['ln my.iso /xen01/h.iso', /unsupported|not support|Permission denied/i],
    ['put /tmp/my.iso /usr/lib/openssh/sftp-server', /Permission denied|Read-only|Failure/],
    ['put /tmp/my.iso /etc/passwd', /Permission denied|Read-only|Failure/],
    ['put /tmp/my.iso /top.iso', /Permission denied|Read-only|Failure/],
    ['rename my.iso /etc/my.iso', /Permission denied|Read-only|Failure|Couldn't rename/],
    ['chown 0 my.iso', /Permission denied|Operation not permitted|Failure/],
  ])('leads nowhere else: %s', async (line, refusal) => {
    await node.run(`ln -sf /etc/shadow ${HOME}/xen01/planted.iso; rm -f /tmp/x`);
    const { code, said } = await sftp(node, 'xen01', [line]);
    expect(code).not.toBe(0);
    expect(said).toMatch(refusal);
    expect((await node.run('test -e /tmp/x')).code).not.toBe(0);
  });

  it('takes scp of today, whose protocol is sftp', async () => {
    const options = `-q -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i ${node.keys}/xen01`;
    expect(await node.run(`scp ${options} /tmp/my.iso xen01@127.0.0.1:scp.iso`)).toEqual({
      code: 0,
      said: '',
    });
    expect((await node.run(`scp -O ${options} /tmp/my.iso xen01@127.0.0.1:old.iso`)).said).toMatch(REFUSED);
  });

  it('holds nothing that the node unmounts, however long it lasts', async () => {
    const { said } = await node.run(`mount -t tmpfs of-the-node /mnt
      ${sftpCommand(node, 'xen01')} < <(exec sleep 10) >/dev/null 2>&1 & session=$!
      for i in $(seq 100); do server=$(pgrep -x sftp-server) && break; sleep 0.1; done
      held() { nsenter --target $server --mount -- grep -c of-the-node /proc/self/mountinfo; }
      held
      umount /mnt
      held
      kill $session; wait $session`);
    expect(said).toBe('1\n0\n');
  });

  it('leaves no mount behind, and no process', async () => {
    expect(
      (await node.run('grep -c /usr/lib/dtc-xen-agent/console /proc/mounts; pgrep -f sftp-server')).said,
    ).toBe('0\n');
  });
});

describe('sudo, had a customer a shell', () => {
  it.concurrent.each(SUDO_COMMANDS)('refuses %s', async (command) => {
    const { code, said } = await node.run(asUser('xen01', `sudo -n ${command} </dev/null`));
    expect(code).toBe(1);
    expect(said).not.toMatch(/CONSOLE|uid=/);
  });

  it('gives the own console, whoever the environment says it is', async () => {
    const { said } = await node.run(
      asUser(
        'xen01',
        'SUDO_UID=0 SUDO_USER=xen02 LOGNAME=xen02 USER=xen02 sudo -n /usr/lib/dtc-xen-agent/console/attach </dev/null',
      ),
    );
    expect(said).toContain('CONSOLE of xen01 for root');
    expect(said).not.toContain('xen02');
  });

  it('gives nothing to a user who is none of a VPS, and none to one outside the group', async () => {
    await node.run('useradd -M -g xenusers -s /bin/bash xena; useradd -M -s /bin/bash xen777');
    const stranger = await node.run(
      asUser('xena', 'sudo -n /usr/lib/dtc-xen-agent/console/attach </dev/null'),
    );
    expect(stranger).toEqual({ code: 1, said: 'dtc-xen: xena is not the user of a VPS.\n' });
    const outsider = await node.run(
      'setpriv --reuid=xen777 --regid=xen777 --init-groups sudo -n /usr/lib/dtc-xen-agent/console/attach </dev/null',
    );
    expect(outsider.code).toBe(1);
    expect(outsider.said).not.toContain('CONSOLE');
  });
});

describe('files of the home', () => {
  /** What a customer can put there with sftp to have code run at the next login. */
  const plant = async () => {
    await node.run(
      `cd /tmp; cat > evil.c; gcc -shared -fPIC -o evil.so evil.c`,
      '#include <fcntl.h>\n__attribute__((constructor)) void evil(void) { open("/tmp/evil-ran", O_CREAT | O_WRONLY, 0666); }\n',
    );
    const so = `${HOME}/xen01/evil.so`;
    await node.run(
      `cd /tmp; printf '%s\\n' 'LD_PRELOAD=${so}' 'BASH_ENV=${so}' 'PATH=${HOME}/xen01' 'SHELL=/bin/bash' > pam_environment
       cp pam_environment environment; printf 'touch /tmp/evil-ran\\n' > rc; printf '#!/bin/sh\\ntouch /tmp/evil-ran\\n' > sudo; cp sudo env
       printf 'command="touch /tmp/evil-ran",pty,port-forwarding %s' "$(cat ${node.keys}/xen01.pub)" > keys`,
    );
    const { code, said } = await sftp(node, 'xen01', [
      'put /tmp/evil.so',
      'put /tmp/pam_environment .pam_environment',
      'put /tmp/environment .ssh/environment',
      'put /tmp/rc .ssh/rc',
      'put /tmp/keys .ssh/authorized_keys',
      'put /tmp/sudo',
      'put /tmp/env',
      'chmod 755 sudo',
      'chmod 755 env',
    ]);
    expect(said).not.toMatch(/denied|Failure/);
    expect(code).toBe(0);
  };
  const ran = async () => (await node.run('test -e /tmp/evil-ran')).code === 0;

  it('run nothing at a login, and change nothing of it', async () => {
    await plant();
    const { said } = await typing(
      'xen01',
      'hello',
      `-tt -o 'SetEnv="LC_ALL=() { :; }; touch /tmp/evil-ran"'`,
    );
    expect(said).toContain('CONSOLE of xen01 for root');
    expect((await node.run(`${ssh(node, 'xen01')} id </dev/null`)).said).toMatch(REFUSED);
    expect((await sftp(node, 'xen01', ['ls'])).code).toBe(0);
    expect(await ran()).toBe(false);
  });

  it('would have run where the drop-in did not set the environment', async () => {
    await node.run('sed -i /SetEnv/d /etc/ssh/sshd_config.d/dtc-xen.conf; pkill -HUP -o -x sshd; sleep 0.5');
    await node.run(`${ssh(node, 'xen01')} id </dev/null`);
    expect(await ran()).toBe(true);
  });
});

it('killVPS leaves the owner no connection that is there already, over which sessions could be opened', async () => {
  const check = 'ssh -S /tmp/kept.sock -O check x';
  await node.run(`${ssh(node, 'xen02', '-M -N -f -S /tmp/kept.sock')} </dev/null >/dev/null 2>&1`);
  expect((await node.run(check)).code).toBe(0);
  await node.run('echo kept > /var/log/xen/console/guest-xen02.log');
  // Who puts the key back, over the connection that is there and over new ones, again and again.
  const put = `printf 'mkdir .ssh\\nput ${node.keys}/xen02.pub .ssh/authorized_keys2\\nput ${node.keys}/xen02.pub secret-dump.iso\\n'`;
  const over = `sftp -q -o ControlPath=/tmp/kept.sock -b - x`;
  await node
    .run(
      `for by in '${over}' "${sftpCommand(node, 'xen02')}"; do
       (until [ -e /tmp/enough ]; do ${put} | sed 's/^/-/' | $by; done) >/dev/null 2>&1 &
     done; sleep 3; test -e ${HOME}/xen02/secret-dump.iso`,
    )
    .then(({ code }) => expect(code, 'the key is put there before').toBe(0));
  expect(await node.run('dtc-xen-agent call killVPS xen02')).toMatchObject({ code: 0 });
  await node.run('sleep 2; touch /tmp/enough');
  expect((await node.run(`ls -A ${HOME} | grep xen02`)).said).toBe('');
  // The name's next owner has another key, and finds nothing of the last one's.
  const next = await node.run(`dtc-xen-agent call changeVPSsshKey xen02 - < ${node.keys}/xen01.pub`);
  expect(next).toMatchObject({ code: 0 });
  expect((await node.run(`${ssh(node, 'xen02')} </dev/null`)).code).toBe(255);
  const with_next = sftpCommand(node, 'xen02').replace(`${node.keys}/xen02`, `${node.keys}/xen01`);
  const home = await node.run(with_next, 'ls -a\nls -a .ssh\n');
  expect(home.code).toBe(0);
  expect(home.said).toMatch(/authorized_keys/);
  expect(home.said).not.toMatch(/authorized_keys2|dump/);
  await expect.poll(async () => (await node.run(check)).code, { timeout: 90_000 }).toBe(255);
  expect((await node.run('ls /var/log/xen/console')).said).toBe('');
});
