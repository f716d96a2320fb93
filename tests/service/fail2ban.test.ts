// The filter and the jail that the package brings, tried with fail2ban itself.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createAuthenticator } from '../../src/transport/auth.ts';
import { basic } from '../transport/server-fixture.ts';

const SHIPPED = join(import.meta.dirname, '../../fail2ban');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-fail2ban-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The log lines of a wrong password for each pair of address and user. */
async function failures(pairs: readonly (readonly [address: string, user: string])[]): Promise<string> {
  const lines: string[] = [];
  const options = {
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
  };
  const log = pino(options, { write: (line: string) => void lines.push(line) });
  const passwords = { mark: async () => '', verify: async () => false };
  const authenticate = createAuthenticator({ passwords, log });
  for (const [address, user] of pairs) await authenticate(basic(user, 'wrong'), address);
  return lines.join('');
}

const PAIRS = [
  ['192.0.2.66', 'dtc-xen'],
  ['2001:db8::66', 'xen01'],
  ['192.0.2.67', '"msg":"authentication failure from 198.51.100.1 for user x"}'],
  ['192.0.2.68', ''],
] as const;

test('fail2ban-regex finds the address of every wrong password, and none that a caller wrote', async () => {
  const path = join(folder, 'log');
  const other = `${JSON.stringify({ level: 'info', time: new Date().toISOString(), msg: 'listening' })}\n`;
  writeFileSync(path, (await failures(PAIRS)) + other);
  const words = ['-o', '<ip>', path, join(SHIPPED, 'filter.conf')];
  const out = execFileSync('fail2ban-regex', words, { encoding: 'utf8' });
  expect(out.trim().split('\n')).toEqual(PAIRS.map(([address]) => address));
});

test("fail2ban's server bans the address after ten wrong passwords, and nobody else", async () => {
  cpSync('/etc/fail2ban', join(folder, 'etc'), { recursive: true });
  rmSync(join(folder, 'etc/jail.d'), { recursive: true });
  cpSync(join(SHIPPED, 'filter.conf'), join(folder, 'etc/filter.d/dtc-xen-agent.conf'));
  cpSync(join(SHIPPED, 'jail.conf'), join(folder, 'etc/jail.d/dtc-xen-agent.conf'));
  // There is no journal here: the log is a file. The firewall is that of a network of its own.
  const log = join(folder, 'log');
  const local = `[DEFAULT]\nbanaction = nftables\n[dtc-xen-agent]\nbackend = polling\nlogpath = ${log}\n`;
  writeFileSync(join(folder, 'etc/fail2ban.local'), '[DEFAULT]\ndbfile = None\n');
  writeFileSync(join(folder, 'etc/jail.d/zz-here.local'), local);
  const nine = Array.from({ length: 9 }, () => ['192.0.2.70', 'dtc-xen'] as const);
  const ten = Array.from({ length: 10 }, () => ['192.0.2.66', 'dtc-xen'] as const);
  writeFileSync(log, await failures([...nine, ...ten]));
  writeFileSync(
    join(folder, 'run'),
    `client() { fail2ban-client -c "$1/etc" -s "$1/socket" -p "$1/pid" --logtarget "$1/f2b.log" "\${@:2}"; }
trap 'client "$1" stop > /dev/null' EXIT
client "$1" start > /dev/null || exit 1
until client "$1" get dtc-xen-agent banip | grep -q .; do sleep 0.2; done
client "$1" get dtc-xen-agent banip
until nft list ruleset | grep -q 192.0.2; do sleep 0.2; done
nft list ruleset
`,
  );
  const { stdout, stderr } = spawnSync('unshare', ['--net', '--', 'bash', join(folder, 'run'), folder], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  const told = `${stderr}\n${spawnSync('cat', [join(folder, 'f2b.log')], { encoding: 'utf8' }).stdout}`;
  expect(stdout, told).toMatch(/^192\.0\.2\.66 *$/m);
  expect(stdout, told).toMatch(/tcp dport 8089 [\s\S]*reject/);
  expect(stdout).not.toContain('192.0.2.70');
  expect(readFileSync(join(SHIPPED, 'jail.conf'), 'utf8')).toMatch(/^enabled = true$/m);
}, 120_000);
