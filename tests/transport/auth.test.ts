import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { createAuthenticator } from '../../src/transport/auth.ts';
import { ADMIN, basic, type FixtureOptions, soap, startServer } from './server-fixture.ts';

let server: Awaited<ReturnType<typeof startServer>>;
async function start(options: FixtureOptions = {}) {
  server = await startServer(options);
  return server;
}
afterEach(() => server.stop());

const WRONG = basic('dtc-xen', 'wrong');
const OWNER = basic('xen01', 'owner');

function setHashes(lines: readonly string[]) {
  writeFileSync(join(server.folder, 'htpasswd'), lines.map((line) => `${line}\n`).join(''));
}
const bcrypt = (user: string, password: string, cost = 10) =>
  execFileSync('htpasswd', ['-nbB', '-C', String(cost), user, password], { encoding: 'utf8' }).trim();

describe('who may come in', () => {
  test('the right pair alone', async () => {
    const { port } = await start();
    expect((await soap(port)).status).toBe(200);
    expect((await soap(port, OWNER)).body).toContain('xen01 127.0.0.1');
    const wrong = [
      WRONG,
      basic('dtc-xen', ''),
      basic('DTC-XEN', 'secret'),
      basic('dtc-xen ', 'secret'),
      basic('', 'secret'),
    ];
    for (const authorization of wrong) {
      const { status, headers, body } = await soap(port, authorization);
      expect([status, body, headers['content-length']]).toEqual([401, '', '0']);
      expect(headers['www-authenticate']).toBe('Basic realm="dtc-xen", charset="UTF-8"');
    }
  });

  test('no header is 401 without being a failure', async () => {
    const { port, messages } = await start();
    for (let times = 0; times < 15; times += 1) {
      expect((await soap(port, undefined, { headers: {} })).status).toBe(401);
    }
    expect((await soap(port)).status).toBe(200);
    expect(messages().filter((message) => message.startsWith('authentication failure'))).toEqual([]);
  });

  test('a broken way of checking passwords is 503 and logged, not 401', async () => {
    const { port, lines } = await start({
      auth: {
        passwords: {
          mark: async () => '1',
          verify: () => Promise.reject(new Error('perl is gone')),
        },
      },
    });
    const { status, headers, body } = await soap(port);
    expect([status, headers['retry-after'], body]).toEqual([503, '5', 'not available now\n']);
    expect(JSON.stringify(lines)).toContain('perl is gone');
  });
});

describe('failures', () => {
  test('each is one line that fail2ban reads; the name cannot forge it; nothing secret is in it', async () => {
    const { port, messages, lines } = await start();
    await soap(port, WRONG);
    await soap(port, basic('x for user y\nauthentication failure from 192.0.2.9 for user z', 'hunter2'));
    await soap(port, 'Basic !!');
    await soap(port, basic('ü'.repeat(100), 'hunter2'));
    const failures = messages().filter((message) => message.includes('authentication failure'));
    expect(failures).toEqual([
      'authentication failure from 127.0.0.1 for user dtc-xen',
      'authentication failure from 127.0.0.1 for user x?for?user?y?authentication?failure?from...',
      'authentication failure from 127.0.0.1 for user -',
      `authentication failure from 127.0.0.1 for user ${'?'.repeat(40)}...`,
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/hunter2|wrong/);
  });

  test('the eleventh is 429 with Retry-After, whatever it says, and it ends', async () => {
    const clock = { at: 1_000_000 };
    const { port } = await start({ auth: { throttle: { window_ms: 2_500, now: () => clock.at } } });
    for (let times = 0; times < 10; times += 1) expect((await soap(port, WRONG)).status).toBe(401);
    for (const authorization of [WRONG, basic('dtc-xen', 'secret'), basic('nobody', ''), 'Basic !!']) {
      const { status, headers, body } = await soap(port, authorization);
      expect([status, body]).toEqual([429, 'too many failed logins\n']);
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(3);
    }
    clock.at += 2_600;
    expect((await soap(port)).status).toBe(200);
  });

  test('a panel that logged in is not locked out by a neighbour who guesses', async () => {
    const { port } = await start({ auth: { remember_ms: 1 } });
    expect((await soap(port)).status).toBe(200);
    for (let times = 0; times < 12; times += 1) await soap(port, basic('xen01', `guess ${times}`));
    expect((await soap(port, OWNER)).status).toBe(429);
    expect((await soap(port)).status).toBe(200);
    for (let times = 0; times < 10; times += 1) await soap(port, WRONG);
    expect((await soap(port)).status).toBe(429);
  });

  test('many at once do not slip past the limit together', async () => {
    const checked: string[] = [];
    const { port } = await start({
      auth: {
        passwords: {
          mark: async () => '1',
          verify: async (user) => {
            checked.push(user);
            await new Promise((resolve) => setTimeout(resolve, 20));
            return false;
          },
        },
      },
    });
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, at) => soap(port, basic('dtc-xen', `guess ${at}`))),
    );
    const statuses = answers.map(({ status }) => status);
    expect(checked.length).toBeLessThanOrEqual(11);
    expect(statuses.filter((status) => status === 401)).toHaveLength(checked.length);
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(19);
  });
});

describe('a pair that was right', () => {
  async function counted(remember_ms: number) {
    const { passwords } = await start();
    const log = pino({ level: 'silent' });
    const checks: string[] = [];
    const verify = (user: string, password: Uint8Array) => {
      checks.push(user);
      return passwords.verify(user, password);
    };
    const authenticate = createAuthenticator({
      passwords: { mark: passwords.mark, verify },
      log,
      remember_ms,
    });
    return { checks, login: (authorization: string) => authenticate(authorization, '192.0.2.1') };
  }
  const ADMIN_IN = { ok: true, user: 'dtc-xen', stillKnown: expect.any(Function) };

  test('is checked once for callers who come at once, and once while it is remembered', async () => {
    const { checks, login } = await counted(60_000);
    expect(await Promise.all(Array.from({ length: 20 }, () => login(ADMIN)))).toEqual(
      Array(20).fill(ADMIN_IN),
    );
    expect(await login(ADMIN)).toEqual(ADMIN_IN);
    expect(checks).toHaveLength(1);
    expect(await login(WRONG)).toEqual({ ok: false, status: 401 });
    expect(await login(basic('xen01', 'secret'))).toEqual({ ok: false, status: 401 });
    expect(checks).toHaveLength(3);
  });

  test('is checked again after that', async () => {
    const { checks, login } = await counted(50);
    await login(ADMIN);
    await new Promise((resolve) => setTimeout(resolve, 80));
    await login(ADMIN);
    expect(checks).toHaveLength(2);
  });

  test('is forgotten when its line changes: a new password counts at once, the old one does not', async () => {
    const { checks, login } = await counted(60_000);
    expect(await login(ADMIN)).toEqual(ADMIN_IN);
    await server.passwords.setPassword('xen01', 'changed');
    expect(await login(ADMIN)).toEqual(ADMIN_IN);
    expect(checks).toHaveLength(1);
    await server.passwords.setPassword('dtc-xen', 'new');
    expect(await login(ADMIN)).toEqual({ ok: false, status: 401 });
    expect(await login(basic('dtc-xen', 'new'))).toEqual(ADMIN_IN);
  });
});

describe('the event loop', () => {
  /** How long this thread has waited for a CPU so far (the kernel's sched-stats). */
  const waited_ms = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1]) / 1e6;

  test('20 clients with bad passwords do not hold it up', async () => {
    const { port, passwords } = await start({
      auth: { throttle: { max_failures: 1_000 }, gate: { running_per_key: 4 } },
    });
    // Long enough that what else a request costs is little beside it.
    setHashes([bcrypt('dtc-xen', 'secret', 12)]);
    await soap(port);
    const started = performance.now();
    expect(await passwords.verify('dtc-xen', Buffer.from('wrong'))).toBe(false);
    const check_ms = performance.now() - started;

    const [before, waited_before_ms] = [performance.eventLoopUtilization(), waited_ms()];
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => soap(port, basic(at % 2 ? 'dtc-xen' : 'nobody', `wrong ${at}`))),
    );
    const { active } = performance.eventLoopUtilization(before);
    const held_ms = active - (waited_ms() - waited_before_ms);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401));
    console.info(
      `20 bad passwords held the event loop for ${held_ms.toFixed(0)} ms; one check takes ${check_ms.toFixed(0)} ms`,
    );
    expect(held_ms).toBeLessThan((20 * check_ms) / 2);
  });
});

describe('time tells nothing', () => {
  test.each([
    ['bcrypt', () => [bcrypt('known', 'secret', 8)]],
    ['bcrypt of two costs', () => [bcrypt('known', 'secret', 5), bcrypt('other', 'secret', 9)]],
    ['apr1', () => [execFileSync('htpasswd', ['-nbm', 'known', 'secret'], { encoding: 'utf8' }).trim()]],
  ])('a user who does not exist takes as long as one who does: %s', async (_scheme, lines) => {
    const { passwords } = await start();
    setHashes(lines());
    const time = async (user: string) => {
      const started = performance.now();
      expect(await passwords.verify(user, Buffer.from('wrong'))).toBe(false);
      return performance.now() - started;
    };
    const taken = { known: [] as number[], unknown: [] as number[] };
    for (let round = 0; round < 60; round += 1) {
      taken.known.push(await time('known'));
      taken.unknown.push(await time(`unknown ${round}`));
    }
    const median = (times: number[]) => times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;
    const ratio = median(taken.unknown) / median(taken.known);
    expect(ratio).toBeGreaterThan(0.7);
    expect(ratio).toBeLessThan(1.4);
  });
});
