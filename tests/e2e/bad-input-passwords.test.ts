// Bad input: passwords. Odd ones work, and reach no shell, no argument and no environment; those that cannot work are refused.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { DIALECTS, envelope, fieldsOf, good, send, told, type Watched, watch } from './bad-calls.ts';

/** Quotes, backquotes, substitutions and separators; the word in each tells where it got to. */
const ODD = [
  `odd1'"\`touch /tmp/odd1\`$(touch /tmp/odd1)`,
  'odd2"; touch /tmp/odd2; echo "\'&& touch /tmp/odd2 #',
  'odd3\\ | & > < * ? ~ # % ! {a,b} [x]:odd3:*:$6$x$',
  '--odd4 \u00e9\u20ac\u{1f600} ',
];
const PROGRAMS = [
  'openssl',
  'chpasswd',
  'useradd',
  'groupadd',
  'getent',
  'flock',
  'unshare',
  'chroot',
  'perl',
  'mount',
];

let site: Site;
let agent: Watched;
let recorded: string;

/** Puts a recorder before a program: its arguments and its environment go to a file, NUL between. */
function record(program: string): void {
  const own = join(site.node.bin, program);
  let real = `${own}.recorded`;
  if (existsSync(own)) renameSync(own, real);
  else real = execFileSync('which', [program], { encoding: 'utf8' }).trim();
  const lines = [
    '#!/bin/sh',
    `{ printf '%s\\0' ${program} "$@"; tr '\\0' '\\n' < /proc/$$/environ; } >> ${recorded}`,
    `exec ${real} "$@"`,
  ];
  writeFileSync(own, `${lines.join('\n')}\n`, { mode: 0o755 });
}

beforeAll(async () => {
  site = await startSite();
  recorded = join(site.folder.path, 'run/recorded');
  for (const program of PROGRAMS) record(program);
  agent = watch(site, ODD);
});
afterAll(() => site.stop());

/** A process's arguments or environment; '' where it is gone, or is none of ours. */
function ofProcess(pid: string, file: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch (error) {
    if (!['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return '';
  }
}

/** Arguments and environments of all the agent's processes, as long as the work runs. */
async function watchProcesses<T>(work: Promise<T>): Promise<{ result: T; seen: string }> {
  const seen = new Set<string>();
  const foreign = new Set<string>();
  let running = true;
  const settled = work.finally(() => {
    running = false;
  });
  while (running) {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || foreign.has(pid)) continue;
      const text = `${ofProcess(pid, 'cmdline')}\n${ofProcess(pid, 'environ')}`;
      if (text.includes(site.folder.path)) seen.add(text);
      else foreign.add(pid);
    }
    await sleep(5);
  }
  return { result: await settled, seen: [...seen].join('\n') };
}

function expectHidden(seen: string): void {
  expect(seen).toContain(site.folder.path);
  for (const text of [seen, JSON.stringify(site.node.calls()), readFileSync(recorded, 'latin1')]) {
    expect(text).not.toMatch(/odd\d/);
    expect(text).not.toMatch(/\$6\$/);
  }
  expect(readdirSync('/tmp').filter((name) => /^odd\d/.test(name))).toEqual([]);
}

describe('an odd password works, and is seen by nobody', () => {
  it.each(ODD)('%j as SOAP password', async (password) => {
    for (const [i, dialect] of DIALECTS.entries()) {
      const vpsname = `xen3${i}`;
      const call = agent.asks(dialect, 'changeVPSsoapPassword', fieldsOf({ vpsname, password }));
      const { result, seen } = await watchProcesses(call);
      expect(result.status).toBe(200);
      expect(result.message).not.toContain('NOTOK');
      expectHidden(seen);
      expect(readFileSync(join(site.folder.path, 'etc/htpasswd'), 'utf8')).not.toContain('odd');
      expect(await site.legacy('getVPSState', { vpsname }, site.endpoint(vpsname, password))).toBe(
        'Not running',
      );
    }
    await agent.healthy();
  });

  it.each(ODD)('%j as console password', async (password) => {
    const given = () => readFileSync(join(site.folder.path, 'chpasswd'), 'utf8').split('\n').slice(-2)[0];
    for (const dialect of DIALECTS) {
      const call = agent.asks(dialect, 'changeVPSxmPassword', fieldsOf({ vpsname: 'xen32', password }));
      const { result, seen } = await watchProcesses(call);
      expect(result.status).toBe(200);
      expectHidden(seen);
      expect(given()).toBe(`xen32:${password}`);
    }
    await agent.healthy();
  });

  it('all of them as root password, through a whole installation', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen33'));
    const [password = ''] = ODD;
    const fields = fieldsOf({ ...good('reinstallVPSos', 'xen33'), password });
    const work = agent.asks('legacy', 'reinstallVPSos', fields).then(async ({ message }) => {
      expect(message).toBe('OK, started mkos.');
      return site.jobEnd('xen33');
    });
    const { result, seen } = await watchProcesses(work);
    expect(result).toMatchObject({ state: 'succeeded' });
    expectHidden(seen);
    const folders = ['state', 'xen', 'run/lock'].map((name) => join(site.folder.path, name));
    const grep = spawnSync('grep', ['-rlaE', 'odd[0-9]|[$]6[$]', ...folders], { encoding: 'utf8' });
    expect({ status: grep.status, found: grep.stdout }).toEqual({ status: 1, found: '' });
    await agent.healthy();
  });

  it('the screen has a short one, with what xl takes in quotes', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen34'));
    const hvm = { ...good('writeXenHVMconf', 'xen34'), vncpassword: "'`$(i)" };
    expect(await site.legacy('writeXenHVMconf', hvm)).toBe('OK');
    expect(readFileSync(join(site.folder.path, 'xen/xen34'), 'utf8')).toContain(`vncpasswd = "'\`$(i)"`);
  });
});

describe('a password that cannot work is refused', () => {
  const CALLS = ['changeVPSsoapPassword', 'changeVPSxmPassword', 'reinstallVPSos'] as const;
  const NEVER: readonly (readonly [what: string, password: string])[] = [
    ['nothing', ''],
    ['a newline', 'never\nroot:x'],
    ['a newline at the end', 'never\n'],
    ['a tab', 'never\tx'],
    ['DEL', 'never\x7f'],
    ['a C1 control', 'never\u0085x'],
    ['4 kB', `never${'x'.repeat(4091)}`],
    ['100 kB', `never${'x'.repeat(100_000)}`],
    ['4 kB beyond ASCII', '\u20ac'.repeat(1366)],
  ];

  it.each(CALLS)('%s', async (operation) => {
    await agent.unchanged(async () => {
      for (const [what, password] of NEVER) {
        const params = { ...good(operation, 'xen35'), password };
        const message = await agent.refused('invalid_value', operation, params);
        expect(message, what).toMatch(new RegExp(`^${operation}: password must [a-z0-9 ]+\\.$`));
      }
    });
    expect(JSON.stringify(site.daemon().logs())).not.toContain('never');
  });

  it('a carriage return is a line end too: XML makes a newline of it, and a reference keeps it', async () => {
    await agent.unchanged(async () => {
      for (const dialect of DIALECTS) {
        for (const raw of [
          'never\r',
          'never\r\n',
          'never&#13;',
          'never&#10;x',
          'never&#xA;',
          'never<![CDATA[\n]]>',
        ]) {
          const fields = [
            ['vpsname', 'xen35'],
            ['password', { xml: `<NAME>${raw}</NAME>` }],
          ] as const;
          const answer = await agent.asks(dialect, 'changeVPSxmPassword', fields);
          expect(answer.message).toContain('changeVPSxmPassword: password must not hold control characters');
        }
      }
    });
  });

  it('NUL is no XML, neither as a byte nor as a reference', async () => {
    await agent.unchanged(async () => {
      for (const dialect of DIALECTS) {
        for (const raw of ['nev\0er', '\0', 'never&#0;', 'never&#x0;', 'never&#x1;', 'never\x08']) {
          for (const operation of CALLS) {
            const fields = fieldsOf(good(operation, 'xen35')).map((field) =>
              field[0] === 'password' ? (['password', { xml: `<NAME>${raw}</NAME>` }] as const) : field,
            );
            const body = Buffer.from(envelope(dialect, operation, fields));
            expect(told(await send(site.endpoint(), body))).toMatchObject({
              status: 500,
              code: 'malformed_request',
            });
          }
        }
      }
    });
  });

  it('the screen takes 255 characters at most, and in the 8 that count nothing that ends a quoted string', async () => {
    const vnc = (vncpassword: string) => ({ ...good('writeXenHVMconf', 'xen36'), vncpassword });
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen36'));
    await agent.unchanged(async () => {
      for (const never of ['', '1'.repeat(256), 'a\nb'])
        await agent.refused('invalid_value', 'writeXenHVMconf', vnc(never));
      for (const never of ['a"b', 'a\\', '1234567"9', '1234567é'])
        await agent.refused('invalid_value', 'writeXenHVMconf', vnc(never));
    });
  });
});
