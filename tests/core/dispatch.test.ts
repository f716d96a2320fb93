import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import * as z from 'zod';
import { parseConfig } from '../../src/config/load.ts';
import type { ParamValue, SoapCall } from '../../src/core/call.ts';
import type { Ports } from '../../src/core/context.ts';
import { createDispatch } from '../../src/core/dispatch.ts';
import { AgentError } from '../../src/core/errors.ts';
import { password, result, vpsname } from '../../src/core/fields.ts';
import { defineOperation, type Operation, type Who } from '../../src/core/operation.ts';
import type { JobStatus } from '../../src/core/ports.ts';
import { createRegistry } from '../../src/core/registry.ts';

const held = new Set<string>();
let job: JobStatus | undefined;
let settle: () => string | undefined = () => undefined;
let lines: Record<string, unknown>[] = [];
const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) });

const ports = {
  locks: {
    acquire: async (vps: { name: string }) => {
      if (held.has(vps.name)) throw new AgentError('vps_busy', `${vps.name} is busy.`);
      held.add(vps.name);
      return { release: async () => void held.delete(vps.name) };
    },
  },
  jobs: { current: async () => job },
  systems: { settle: async () => settle(), requireWhole: async () => undefined },
} as unknown as Ports;

const operation = (name: string, who: Who, more: Partial<Operation> = {}): Operation =>
  defineOperation({
    name,
    summary: '',
    who,
    input: z.object({ vpsname: vpsname() }),
    output: result,
    legacy: () => 'OK',
    lock: 'none',
    changes: true,
    timeout_ms: 1_000,
    errors: [],
    handler: async () => ({ result: 'done' }),
    ...more,
  });

const dispatch = (...operations: Operation[]) =>
  createDispatch({ registry: createRegistry(operations), config: parseConfig(''), ports, log });
const call = (name: string, params: Record<string, ParamValue>): SoapCall => ({
  dialect: 'legacy',
  soap: '1.1',
  operation: name,
  namespace: '',
  params: Object.entries(params).map(([key, value]) => ({ name: key, value })),
});
const by = (user: string) => ({ user, address: '192.0.2.7', stillKnown: async () => true });
const ADMIN = by('dtc-xen');

beforeEach(() => {
  held.clear();
  job = undefined;
  lines = [];
});

describe('defineOperation', () => {
  it('refuses a declaration without who may call', () => {
    expect(() => operation('x', undefined as unknown as Who)).toThrow(/who may call is not declared/);
  });
  it('refuses an owner operation or a lock without a vpsname, and two operations of one name', () => {
    expect(() => operation('x', 'owner', { input: z.object({}) })).toThrow(/needs a vpsname/);
    expect(() => operation('x', 'admin', { input: z.object({}), lock: 'vps' })).toThrow(/needs a vpsname/);
    expect(() => createRegistry([operation('x', 'user'), operation('x', 'user')])).toThrow(/declared twice/);
  });
});

describe('authorization', () => {
  it.each([
    ['user', 'someone', true],
    ['user', 'xen02', true],
    ['owner', 'xen01', true],
    ['owner', '01', false],
    ['owner', 'xen1', false],
    ['owner', 'xen02', false],
    ['owner', 'someone', false],
    ['owner', 'dtc-xen', true],
    ['admin', 'xen01', false],
    ['admin', 'dtc-xen', true],
  ] as const)('an operation for %s, called by %s: %s', async (who, user, allowed) => {
    for (const name of ['xen01', '01']) {
      const outcome = await dispatch(operation('x', who))(call('x', { vpsname: name }), by(user));
      expect(outcome.ok).toBe(allowed);
      if (!outcome.ok) expect(outcome.error.code).toBe('not_allowed');
    }
  });

  it('is decided before anything is told about the values', async () => {
    const outcome = await dispatch(operation('x', 'owner'))(
      call('x', { vpsname: 'xen01; reboot' }),
      by('xen01'),
    );
    expect(outcome).toMatchObject({ ok: false, error: { code: 'not_allowed' } });
  });
});

describe('a password that was changed while the call was on its way', () => {
  it.each([
    ['vps', true],
    ['none', false],
  ] as const)(
    "is found under the VPS's lock, where there is one (%s): nothing is done",
    async (lock, locked) => {
      let held_then = false;
      const caller = {
        ...by('xen01'),
        stillKnown: async () => {
          held_then = held.has('xen01');
          return false;
        },
      };
      const handler = vi.fn(async () => ({}));
      const outcome = await dispatch(operation('x', 'owner', { lock, handler }))(
        call('x', { vpsname: 'xen01' }),
        caller,
      );
      expect(outcome).toMatchObject({
        ok: false,
        error: {
          code: 'not_allowed',
          message: expect.stringContaining('The password of the user xen01 was changed'),
        },
      });
      expect(handler).not.toHaveBeenCalled();
      expect([held_then, held.size]).toEqual([locked, 0]);
    },
  );
});

describe('locks and jobs', () => {
  it("holds the VPS's lock while the handler runs, and lets go after it", async () => {
    let seen = false;
    const x = operation('x', 'owner', {
      lock: 'vps',
      handler: async () => {
        seen = held.has('xen01');
        throw new AgentError('no_space', 'No room.');
      },
    });
    const outcome = await dispatch(x)(call('x', { vpsname: '01' }), ADMIN);
    expect(outcome).toMatchObject({ ok: false, error: { code: 'no_space' } });
    expect(seen).toBe(true);
    expect(held.size).toBe(0);
  });

  it('refuses a change while a job runs, and names the job and its step', async () => {
    job = {
      id: 'j',
      kind: 'reinstall',
      vps: 'xen01',
      state: 'running',
      created: '2026-11-22T02:10:00Z',
      steps: [{ name: 'bootstrap', share: 75, started: '' }],
    };
    const outcome = await dispatch(operation('x', 'owner', { lock: 'vps' }))(
      call('x', { vpsname: '01' }),
      ADMIN,
    );
    expect(outcome).toMatchObject({ ok: false, error: { code: 'vps_busy' } });
    if (!outcome.ok)
      expect(outcome.error.message).toMatch(/xen01 is busy: a reinstall runs since .*step bootstrap/);
    expect(held.size).toBe(0);
  });

  it('finishes what a cut-off reinstall has begun before a change, and refuses where that cannot be', async () => {
    const x = operation('x', 'owner', { lock: 'vps' });
    const answer = (thrown?: AgentError) => {
      settle = () => {
        if (thrown) throw thrown;
        return 'The new system of xen01 is in its place.';
      };
      return dispatch(x)(call('x', { vpsname: '01' }), ADMIN).finally(() => {
        settle = () => undefined;
      });
    };
    expect(await answer()).toMatchObject({ ok: true });
    expect(lines).toContainEqual(
      expect.objectContaining({ vps: 'xen01', msg: 'The new system of xen01 is in its place.' }),
    );
    expect(await answer(new AgentError('vps_running', 'It waits.'))).toMatchObject({ ok: true });
    expect(await answer(new AgentError('program_failed', 'lvrename failed.'))).toMatchObject({
      ok: false,
      error: {
        code: 'vps_busy',
        message: 'xen01 is busy: a reinstall is not finished. lvrename failed.',
      },
    });
    expect(held.size).toBe(0);
  });

  it('answers in time, and keeps the lock until the work has ended', async () => {
    const slow = operation('x', 'owner', {
      lock: 'vps',
      timeout_ms: 30,
      handler: async () => {
        await sleep(120);
        return { result: 'late' };
      },
    });
    const run = dispatch(slow);
    expect(await run(call('x', { vpsname: '01' }), ADMIN)).toMatchObject({
      ok: false,
      error: { code: 'timeout' },
    });
    expect(await run(call('x', { vpsname: '01' }), ADMIN)).toMatchObject({
      ok: false,
      error: { code: 'vps_busy' },
    });
    await sleep(150);
    expect(held.size).toBe(0);
    expect(lines.map((line) => [line['msg'], line['outcome']])).toEqual([
      ['call', 'timeout'],
      ['call', 'vps_busy'],
      ['the end of a call past its time limit', 'ok'],
    ]);
  });
});

describe('what waits for the answer', () => {
  const fates: string[] = [];
  const takes = (fails: boolean) =>
    operation('x', 'owner', {
      handler: async (ctx) => {
        ctx.onAnswer({
          delivered: async () => void fates.push('delivered'),
          lost: () => void fates.push('lost'),
          wanted: Promise.resolve(),
        });
        if (fails) throw new Error('boom');
        return { result: '' };
      },
    });

  it.each([
    [false, true, 'delivered'],
    [false, false, 'lost'],
    [true, undefined, 'lost'],
  ])('handler fails: %s, answer read: %s -> %s', async (fails, read, fate) => {
    fates.length = 0;
    const outcome = await dispatch(takes(fails))(call('x', { vpsname: '01' }), ADMIN);
    if (outcome.ok) await outcome.answered(read === true);
    expect(fates).toEqual([fate]);
    expect(outcome).toEqual(
      fails ? expect.anything() : expect.objectContaining({ carried: { wanted: expect.any(Promise) } }),
    );
  });

  it('is told of no answer that carries nothing', async () => {
    const outcome = await dispatch(operation('x', 'owner'))(call('x', { vpsname: '01' }), ADMIN);
    expect(outcome).not.toHaveProperty('carried');
  });
});

describe('the audit line', () => {
  it('says who, from where, what, on which VPS, and what came of it', async () => {
    await dispatch(operation('x', 'owner'))(call('x', { vpsname: '01' }), by('xen01'));
    expect(lines).toEqual([
      expect.objectContaining({
        audit: true,
        operation: 'x',
        vps: '01',
        user: 'xen01',
        address: '192.0.2.7',
        outcome: 'ok',
        ms: expect.any(Number),
      }),
    ]);
  });

  it('holds no parameter but the name, whatever comes', async () => {
    const x = operation('x', 'owner', { input: z.object({ vpsname: vpsname(), password: password('') }) });
    await dispatch(x)(call('x', { vpsname: '01', password: 'hunter2' }), ADMIN);
    await dispatch(x)(call('x', { vpsname: '01', password: 'hunter2\n' }), ADMIN);
    await dispatch(x)(call('x', { vpsname: '01', password: ['hunter2'] }), ADMIN);
    await dispatch(x)(call('x', { vpsname: '01', password: 'a', hunter: 'hunter2' }), ADMIN);
    expect(lines.map((line) => line['outcome'])).toEqual([
      'ok',
      'invalid_value',
      'wrong_type',
      'unknown_parameter',
    ]);
    expect(JSON.stringify(lines)).not.toContain('hunter2');
  });

  it('of a defect has the cause in the log, and nothing of it in the answer', async () => {
    const broken = operation('x', 'owner', { handler: () => Promise.reject(new Error('secret path /root')) });
    const outcome = await dispatch(broken)(call('x', { vpsname: '01' }), ADMIN);
    expect(outcome).toMatchObject({ ok: false, error: { code: 'internal' } });
    if (!outcome.ok) expect(outcome.error.message).not.toContain('/root');
    expect(
      lines.some((line) => line['msg'] === 'defect' && JSON.stringify(line).includes('secret path')),
    ).toBe(true);
  });

  it('has the end of what a program said, not megabytes', async () => {
    const stdout = `${'x'.repeat(1 << 20)}its last words`;
    const loud = operation('x', 'owner', {
      errors: ['program_failed'],
      handler: () => Promise.reject(new AgentError('program_failed', 'xl failed.', { log: { stdout } })),
    });
    await dispatch(loud)(call('x', { vpsname: '01' }), ADMIN);
    expect(JSON.stringify(lines).length).toBeLessThan(6_000);
    expect(JSON.stringify(lines)).toContain('its last words');
  });

  it('is followed by a warning where the operation does not declare its error', async () => {
    const rogue = operation('x', 'owner', {
      handler: () => Promise.reject(new AgentError('unknown_os', 'No.')),
    });
    await dispatch(rogue)(call('x', { vpsname: '01' }), ADMIN);
    expect(lines.map((line) => line['msg'])).toContain('an error that the operation does not declare');
  });

  it('is told of unknown operations in printable form', async () => {
    const outcome = await dispatch()(call('rm -rf\n\x1b[31m', {}), ADMIN);
    expect(outcome).toMatchObject({ ok: false, error: { code: 'unknown_operation' } });
    expect(lines[0]?.['operation']).toBe('rm?-rf??[31m');
  });
});
