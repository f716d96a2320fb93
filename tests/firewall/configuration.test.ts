import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseShellAssignments } from '../../src/config/parse.ts';
import { ADDRESSES, Network } from './network.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const DOC = readFileSync(join(ROOT, 'docs/firewall.md'), 'utf8');
const DEFAULTS = parseShellAssignments(readFileSync(join(ROOT, 'firewall/defaults.conf'), 'utf8'));

let network: Network;
beforeAll(async () => {
  network = await Network.create();
});
afterAll(() => network?.destroy());

const etc = (name: string) => join(network.etcDir, name);

describe('dtc-xen-firewall', () => {
  beforeEach(async () => {
    for (const name of ['firewall.nft', 'firewall-bridge.nft', 'dtc-xen.conf'])
      await rm(etc(name), { force: true });
    await writeFile(etc('firewall.conf'), '');
    await network.firewall('stop');
  });

  it('takes every command of its documentation, and leaves all other tables as they were', async () => {
    const before = await network.ruleset();
    const commands = [...DOC.matchAll(/^dtc-xen-firewall (\S+)$/gm)]
      .map(([, command = '']) => command)
      .slice(0, 5);
    expect(commands).toEqual(['check', 'start', 'reload', 'show', 'stop']);
    const others = await network.ruleset();
    for (const command of commands) {
      expect(await network.firewall(command), command).toMatchObject({ code: 0 });
      const now = await network.ruleset();
      expect(now.startsWith(others), `${command} changed another table`).toBe(true);
      const ours = ['start', 'reload', 'show'].includes(command);
      expect([now.includes('table inet dtc_xen'), now.includes('table bridge dtc_xen')]).toEqual([
        ours,
        ours,
      ]);
    }
    expect(await network.ruleset()).toBe(before);
    expect(await network.firewall('stop')).toEqual({ code: 0, output: '' });
    expect(await network.firewall('show')).toMatchObject({
      code: 1,
      output: expect.stringContaining('is not loaded'),
    });
    expect(await network.firewall('status')).toMatchObject({
      code: 2,
      output: expect.stringContaining('Usage:'),
    });
  });

  it('installs a sample that changes no default, and documents the limits that it has', async () => {
    const sample = execFileSync('sed', ['s/^[a-z]/#&/', join(ROOT, 'firewall/defaults.conf')], {
      encoding: 'utf8',
    });
    expect(parseShellAssignments(sample)).toEqual([]);
    const rows = [...DOC.matchAll(/^\| `(\w+)` \| `([^`]*)` \|/gm)].map(
      ([, key, value]) => `${key}=${value}`,
    );
    expect(DEFAULTS.map(({ key, value }) => `${key}=${value}`)).toEqual(expect.arrayContaining(rows));
    const limits = DEFAULTS.filter(({ key }) => key.endsWith('_limit'));
    expect(rows.filter((row) => row.includes('_limit='))).toHaveLength(limits.length);
    const written = DEFAULTS.map(({ key, value }) => `${key}="${value}"\n`).join('');
    await network.load('');
    const rules = await network.ruleset();
    await network.load(written);
    expect(await network.ruleset()).toBe(rules);
  });

  it('sets a key in either form, and refuses what is neither', async () => {
    await writeFile(etc('firewall.conf'), '# mine\n');
    for (const words of [
      ['set', 'soap_limit', '7/3'],
      ['set', 'soap_limit=8/3'],
    ]) {
      expect(await network.firewall(...words)).toEqual({ code: 0, output: '' });
      const [wanted = ''] = /[78]\/3/.exec(words.join(' ')) ?? [];
      expect((await network.firewall('get', 'soap_limit')).output).toBe(`${wanted}\n`);
    }
    expect(await network.firewall('set', 'soap_addresses=192.0.2.7 2001:db8::7')).toMatchObject({ code: 0 });
    expect((await network.firewall('get', 'soap_addresses')).output).toBe('192.0.2.7 2001:db8::7\n');
    expect(await network.firewall('set', 'soap_limit')).toMatchObject({ code: 2 });
    expect(await network.firewall('set', 'soap_limit=x')).toMatchObject({ code: 1 });
  });

  it("puts the admin's own rules before the limits, for dom0 and for bridged guests", async () => {
    const example = /^set monitoring[\s\S]*?(?=^RULES$)/m.exec(DOC)?.[0] ?? '';
    const own = `${example}\n# a } in a comment\nchain admin_input { tcp dport 80 counter drop comment "}"; tcp dport 22 accept; }\n`;
    await writeFile(etc('firewall-bridge.nft'), 'chain admin_forward { tcp dport 80 ether type ip drop; }\n');
    await network.load('', own);
    const shown = (await network.firewall('show')).output;
    expect(shown).toContain('tcp dport 5666 ip saddr != @monitoring drop');
    expect(await network.connect('ipv4', 'stranger', 'dom0', 80, 1)).toMatchObject({ silent: 1 });
    expect(await network.connect('ipv4', 'stranger', 'dom0', 22, 20)).toMatchObject({ answered: 20 });
    expect(await network.connect('ipv4', 'stranger', 'guest1', 80, 1)).toMatchObject({ silent: 1 });
    expect(await network.connect('ipv6', 'stranger', 'guest1', 80, 1)).toMatchObject({ answered: 1 });
  });

  it('has no limit where a key is 0 or empty', async () => {
    const off = DEFAULTS.filter(({ key }) => key.endsWith('_limit')).map(({ key }) => `${key}=0\n`);
    await network.load(`${off.join('')}closed_ports=\nssh_dom0_ports=\nsoap_addresses="0.0.0.0/0, ::/0"\n`);
    for (const family of ['ipv4', 'ipv6'] as const) {
      for (const to of ['dom0', 'guest1'] as const) {
        for (const kind of ['ping', 'syn', 'rst'] as const) {
          expect(await network.flood(family, 'stranger', to, kind, 1500, 81)).toMatchObject({ passed: 1500 });
        }
        for (const port of [22, 25, 8089]) {
          expect(await network.connect(family, 'stranger', to, port, 20)).toMatchObject({ answered: 20 });
        }
      }
    }
  });

  it('guards the port that the SOAP server listens on', async () => {
    const configuration = `soap_addresses=${ADDRESSES.panel.ipv4}\n`;
    await writeFile(etc('dtc-xen.conf'), 'admin_user=dtc-xen\nlisten_port="80" # not 8089\n');
    await network.load(configuration);
    expect(await network.connect('ipv4', 'stranger', 'dom0', 80, 1)).toMatchObject({ refused: 1 });
    expect(await network.connect('ipv4', 'panel', 'dom0', 80, 1)).toMatchObject({ answered: 1 });
    expect(await network.connect('ipv4', 'stranger', 'dom0', 8089, 1)).toMatchObject({ answered: 1 });
    await network.load(`${configuration}soap_port=8089\n`);
    expect(await network.connect('ipv4', 'stranger', 'dom0', 8089, 1)).toMatchObject({ refused: 1 });
    await writeFile(etc('dtc-xen.conf'), 'listen_port=\n');
    await writeFile(etc('firewall.conf'), configuration);
    expect(await network.firewall('reload')).toMatchObject({
      code: 1,
      output: expect.stringContaining('dtc-xen.conf, line 1: listen_port: must be a port'),
    });
  });

  it('drops nothing that is allowed while it is reloaded', async () => {
    await network.load(`soap_addresses=${ADDRESSES.panel.ipv4}\nsoap_limit=1000/1\n`);
    let reloads = 0;
    let going = true;
    const reload = (async () => {
      while (going) {
        expect(await network.firewall('reload')).toMatchObject({ code: 0 });
        reloads += 1;
      }
    })();
    const [pings, guest, dom0] = await Promise.all([
      network.pings('ipv6', 'stranger', 'guest1', 80, 25),
      network.connect('ipv4', 'stranger', 'guest2', 80, 60),
      network.connect('ipv4', 'panel', 'dom0', 8089, 60),
    ]);
    going = false;
    await reload;
    process.stdout.write(
      `${reloads} reloads: ${pings.passed} of 80 pings, ${guest.answered} + ${dom0.answered} of 60 + 60 connections\n`,
    );
    expect(reloads).toBeGreaterThan(3);
    expect(pings.passed).toBe(80);
    expect([guest, dom0]).toEqual(Array(2).fill({ answered: 60, refused: 0, silent: 0 }));
  });
});

describe('a configuration that is wrong', () => {
  let inForce: string;
  beforeAll(async () => {
    await network.load('soap_limit=11/6');
    inForce = await network.ruleset();
  });
  afterEach(async () => {
    expect(await network.ruleset(), 'the rules in force were changed').toBe(inForce);
    for (const name of ['firewall.conf', 'firewall.nft', 'firewall-bridge.nft'])
      await rm(etc(name), { force: true });
  });

  it.each([
    ['soap_limits=10/5', 'line 1: there is no key soap_limits'],
    ['# a\n\nsoap_limit=10', 'line 3: soap_limit: must be COUNT/SECONDS'],
    ['soap_limit=0/5', 'soap_limit: must be COUNT/SECONDS'],
    ['soap_limit=', 'soap_limit: must be COUNT/SECONDS'],
    ['syn_guests_limit=100001/1', 'syn_guests_limit: must be'],
    ['ssh_dom0_limit=10/86401', 'ssh_dom0_limit: must be'],
    ['soap_addresses=panel.example.org', 'panel.example.org is not an IPv4 or IPv6 address'],
    ['soap_addresses=10.0.0.256', '10.0.0.256 is not'],
    ['soap_addresses=10.0.0.1/33', '10.0.0.1/33 is not'],
    ['soap_addresses=1:2:3:4:5:6:7', '1:2:3:4:5:6:7 is not'],
    ['soap_addresses=1::2::3', '1::2::3 is not'],
    ['soap_addresses=::12345', '::12345 is not'],
    ['soap_addresses=fd00::1/129', 'fd00::1/129 is not'],
    ['soap_addresses=0.0.0.0', "0.0.0.0 is nobody's address; everyone is 0.0.0.0/0 ::/0"],
    ['trusted_addresses="10.0.0.1 } accept"', 'trusted_addresses: accept is not'],
    ['soap_port=0', 'soap_port: must be a port'],
    ['closed_ports="25 smtp"', 'smtp is not a port'],
    ['guest_interfaces="vif* eth0;"', "eth0; is not an interface's name"],
    ['soap_addresses=$(id)', 'line 1: only plain values are understood'],
    ['. /etc/passwd', 'line 1: not of the form KEY=value'],
    ['soap_limit=1\nfoo=2', 'there is no key foo'],
  ])('is refused by name: %j', async (text, complaint) => {
    await writeFile(etc('firewall.conf'), `${text}\n`);
    const { code, output } = await network.firewall('reload');
    expect(code).toBe(1);
    expect(output).toContain(`${etc('firewall.conf')}, line `);
    expect(output).toContain(complaint);
    expect(output).toContain('the rules that were in force still are');
    expect(await network.firewall('check')).toEqual({ code, output });
  });

  it.each([
    ['firewall.nft', 'chain admin_input {\n  tcp dport 80 dropp\n}\n', 'firewall.nft:2:'],
    ['firewall.nft', 'chain admin_input { ip saddr @nobody drop; }\n', 'nobody'],
    ['firewall-bridge.nft', 'chain admin_forward { tcp dport 80 dropp; }\n', 'firewall-bridge.nft:1:'],
    ['firewall.nft', '}\nflush ruleset\ntable ip evil {\n', 'firewall.nft: its braces do not match'],
    ['firewall.nft', 'chain admin_input {\n', 'firewall.nft: its braces do not match'],
    ['firewall.nft', 'flush ruleset\n', 'firewall.nft:1:'],
  ])('is refused in %s: %j', async (name, text, complaint) => {
    await writeFile(etc(name), text);
    const { code, output } = await network.firewall('reload');
    expect(output).toContain(complaint);
    expect(code).toBe(1);
  });
});

describe('the settings of the firewall', () => {
  /** What the firewall's shell reads from each text: `KEY=value` lines, or nothing where it complains. */
  function readByShell(texts: readonly string[]): (string | undefined)[] {
    const folder = mkdtempSync(join(tmpdir(), 'firewall-settings-'));
    try {
      const program = `set -euo pipefail; export LC_ALL=C; source "$1"; shift
        take() { found+="$1=$2"$'\\n'; }
        for file; do found= complaints=(); read_assignments "$file" take; printf '%s\\t%s\\0' "\${#complaints[@]}" "$found"; done`;
      const files = texts.map((text, i) => {
        writeFileSync(join(folder, `${i}`), text);
        return join(folder, `${i}`);
      });
      const args = ['-c', program, 'bash', join(ROOT, 'firewall/settings'), ...files];
      const answers = execFileSync('bash', args, { encoding: 'utf8' }).split('\0').slice(0, -1);
      return answers.map((answer) => (answer.startsWith('0\t') ? answer.slice(2) : undefined));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  function readByAgent(text: string): string | undefined {
    try {
      return parseShellAssignments(text)
        .map(({ key, value }) => `${key}=${value}\n`)
        .join('');
    } catch {
      return undefined;
    }
  }

  it('are read as the agent reads its own', () => {
    const pieces = [
      'a',
      'B_1',
      '10/5',
      ' ',
      '\t',
      '=',
      "'",
      '"',
      '\\',
      '$',
      '`',
      '#',
      ';',
      '(',
      '*',
      '::/0',
      ',',
      '\\\\',
      '\\"',
      'export ',
    ];
    let state = 7;
    const next = (below: number) => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return Math.floor((state / 2147483648) * below);
    };
    const texts = [
      '',
      'a=1',
      "a='x y' # c",
      'a="x\\$y\\z"',
      'a=b\\ c',
      ' export a=1\r\nb=2\r\n',
      'a=',
      'a= # c',
      'a= b',
      'a=b#c',
      "a='",
      'a="',
    ];
    for (let i = 0; i < 1500; i += 1) {
      const value = Array.from({ length: next(7) }, () => pieces[next(pieces.length)]).join('');
      texts.push(i % 5 === 0 ? value : `key=${value}`);
    }
    const wanted = texts.map(readByAgent);
    expect(readByShell(texts)).toEqual(wanted);
    expect(wanted.filter((answer) => answer !== undefined).length).toBeGreaterThan(300);
  });
});
