import { describe, expect, test } from 'vitest';
import { addressGroup, plainAddress } from '../../src/transport/auth/address.ts';
import { parseBasic } from '../../src/transport/auth/basic.ts';
import { Gate, GateFull } from '../../src/transport/auth/gate.ts';
import { createThrottle } from '../../src/transport/auth/throttle.ts';
import { VerifiedPairs } from '../../src/transport/auth/verified.ts';

describe('a Basic header', () => {
  const header = (bytes: string | Buffer) => `Basic ${Buffer.from(bytes).toString('base64')}`;

  test('a name, and all after the first colon as bytes', () => {
    const read = parseBasic(header(Buffer.from('xen01:a:b\xe9\0', 'latin1')));
    expect(read?.user).toBe('xen01');
    expect(Buffer.from(read?.password ?? []).toString('latin1')).toBe('a:b\xe9\0');
    expect(parseBasic(header('dörte:'))).toMatchObject({ user: 'dörte', password: Buffer.alloc(0) });
    expect(parseBasic(`bAsIc   ${Buffer.from('a:b').toString('base64')} `)?.user).toBe('a');
  });

  test.each([
    '',
    'Basic',
    'Basic ',
    'Basic !!!!',
    'Bearer YTpi',
    'Digest username="a"',
    header('nocolon'),
    header(':nobody'),
    header(Buffer.from('\xff\xfe:x', 'latin1')),
    header(`a:${'x'.repeat(3000)}`),
    `${header('a:b')} ${header('a:b')}`,
  ])('%j is none', (text) => expect(parseBasic(text)).toBeUndefined());
});

describe('addresses', () => {
  test('an IPv4 address is IPv4 however it came', () => {
    expect(plainAddress('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(plainAddress('192.0.2.1')).toBe('192.0.2.1');
    expect(plainAddress('fe80::1%eth0')).toBe('fe80::1');
    expect(plainAddress(undefined)).toBe('');
  });

  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:0DB8:1:2::ffff', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1', 'fe80:0:0:0::/64'],
    ['', ''],
  ])('%s counts as %s', (address, group) => expect(addressGroup(address)).toBe(group));
});

describe('the throttle', () => {
  const start = (more = {}) => {
    const clock = { at: 1_000_000 };
    const throttle = createThrottle({ now: () => clock.at, ...more });
    const fail = (times: number, group = 'a', user = 'u') => {
      for (let done = 0; done < times; done += 1) throttle.failed(group, user);
    };
    return { clock, throttle, fail };
  };

  test('ten failures in five minutes, until the first of them is five minutes old', () => {
    const { clock, throttle, fail } = start();
    fail(9);
    expect(throttle.wait_ms('a', 'u')).toBe(0);
    clock.at += 100_000;
    fail(1);
    expect(throttle.wait_ms('a', 'u')).toBe(200_000);
    expect(throttle.wait_ms('a', 'another')).toBe(200_000);
    expect(throttle.wait_ms('b', 'u')).toBe(0);
    clock.at += 200_000;
    expect(throttle.wait_ms('a', 'u')).toBe(0);
    fail(1);
    expect(throttle.wait_ms('a', 'u')).toBe(0);
  });

  test('a success does not forgive failures', () => {
    const { throttle, fail } = start();
    fail(9, 'a', 'guessed');
    throttle.succeeded('a', 'mine');
    fail(1, 'a', 'guessed');
    expect(throttle.wait_ms('a', 'guessed')).toBeGreaterThan(0);
  });

  test('a user who logged in from there has a count of their own, and it is limited just the same', () => {
    const { clock, throttle, fail } = start();
    throttle.succeeded('a', 'panel');
    fail(50, 'a', 'guessed');
    expect(throttle.wait_ms('a', 'guessed')).toBeGreaterThan(0);
    expect(throttle.wait_ms('a', 'panel')).toBe(0);
    expect(throttle.wait_ms('b', 'panel')).toBe(0);
    fail(10, 'a', 'panel');
    expect(throttle.wait_ms('a', 'panel')).toBeGreaterThan(0);
    clock.at += 300_000;
    expect(throttle.wait_ms('a', 'panel')).toBe(0);
    clock.at += 24 * 3_600_000;
    fail(10, 'a', 'guessed');
    expect(throttle.wait_ms('a', 'panel')).toBeGreaterThan(0);
  });

  test('its memory is bounded: the addresses least recently seen are forgotten', () => {
    const { throttle, fail } = start({ capacity: 100 });
    fail(10, 'first');
    for (let at = 0; at < 99; at += 1) fail(1, `other ${at}`);
    expect(throttle.wait_ms('first', 'u')).toBeGreaterThan(0);
    fail(1, 'one more');
    expect(throttle.wait_ms('first', 'u')).toBe(0);
  });
});

describe('the gate', () => {
  test('so many at once, so many of one key, so many waiting', async () => {
    const gate = new Gate({ running: 3, running_per_key: 2, waiting: 4, waiting_per_key: 2 });
    let [running, most] = [0, 0];
    const order: string[] = [];
    const task = (key: string) =>
      gate.run(key, async () => {
        order.push(key);
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running -= 1;
      });
    const many = [task('a'), task('a'), task('a'), task('a')];
    await expect(task('a')).rejects.toThrow(GateFull);
    many.push(task('b'), task('b'), task('c'));
    await expect(task('d')).rejects.toThrow(GateFull);
    await Promise.all(many);
    expect(order.slice(0, 3)).toEqual(['a', 'a', 'b']);
    expect(order.toSorted()).toEqual(['a', 'a', 'a', 'a', 'b', 'b', 'c']);
    expect(most).toBe(3);
  });

  test('a task that fails gives its place back', async () => {
    const gate = new Gate({ running: 1 });
    const failing = () => gate.run('a', () => Promise.reject(new Error('no')));
    await expect(failing()).rejects.toThrow('no');
    await expect(failing()).rejects.toThrow('no');
    expect(await gate.run('a', async () => 'yes')).toBe('yes');
  });
});

describe('verified pairs', () => {
  test('for a while, for this line of its user alone, and not more than fit', async () => {
    const pairs = new VerifiedPairs(60, 2);
    const digest = (user: string, mark: string) => pairs.digest(user, Buffer.from('p'), mark);
    expect(pairs.has(digest('a', '1'))).toBe(false);
    for (const user of ['a', 'b', 'c']) pairs.add(digest(user, '1'));
    expect(['a', 'b', 'c'].map((user) => pairs.has(digest(user, '1')))).toEqual([true, true, false]);
    expect(pairs.has(digest('a', '2'))).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(pairs.has(digest('a', '1'))).toBe(false);
    pairs.add(digest('c', '1'));
    expect(pairs.has(digest('c', '1'))).toBe(true);
  });

  test('another key, another digest: nothing to compare between processes', () => {
    const digest = () => new VerifiedPairs(1).digest('a', Buffer.from('p'), '1');
    expect(digest()).not.toBe(digest());
  });
});
