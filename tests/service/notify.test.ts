// What systemd hears, on a real datagram socket.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { createRunner } from '../../src/drivers/run.ts';
import { createServiceManager } from '../../src/drivers/service-manager.ts';
import { makeDaemonFolder, startDaemon } from '../daemon.ts';
import { createSmallPrograms } from '../drivers/small-programs.ts';
import { createFakeNode } from '../fakes/fake-node.ts';
import { type NotifySocket, openNotifySocket } from './socket.ts';

const runner = createRunner({ path: '/usr/bin:/bin' });
let socket: NotifySocket | undefined;
afterEach(async () => {
  await socket?.close();
  socket = undefined;
});

async function manager(watchdog_ms?: number) {
  socket = await openNotifySocket();
  const troubles: string[] = [];
  const env = {
    NOTIFY_SOCKET: socket.path,
    ...(watchdog_ms === undefined ? {} : { WATCHDOG_USEC: String(watchdog_ms * 1000) }),
  };
  const service = createServiceManager({ runner, env, onTrouble: (what) => troubles.push(what) });
  return { service, socket, troubles };
}

describe('the daemon under a service manager', () => {
  it('says when it answers, that it lives, that it reloads, and that it ends, in its own name', async () => {
    socket = await openNotifySocket();
    const folder = makeDaemonFolder();
    const node = await createFakeNode({ root: `${folder.path}/node` });
    Object.assign(process.env, { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '900000' });
    try {
      const daemon = await startDaemon({ fakeNode: node, folder });
      const ready = await socket.until('READY=1');
      expect(ready.said).toContain(`STATUS=Listening on 127.0.0.1, port ${daemon.port}`);
      await socket.until('WATCHDOG=1');
      await socket.until('WATCHDOG=1');

      const before_usec = process.hrtime.bigint() / 1000n;
      process.kill(daemon.pid, 'SIGHUP');
      const reloading = await socket.until('RELOADING=1');
      const [, usec = ''] = /^MONOTONIC_USEC=(\d+)$/.exec(reloading.said[1] ?? '') ?? [];
      expect(BigInt(usec) - before_usec).toBeLessThan(20_000_000n);
      expect(BigInt(usec) > before_usec).toBe(true);
      await socket.until('READY=1');

      const ended = daemon.stop();
      await socket.until('STOPPING=1');
      expect(await ended).toBe(0);
      const pids = new Set(socket.notices.slice(1).map(({ pid }) => pid));
      expect([...pids]).toEqual([daemon.pid]);
    } finally {
      delete process.env['NOTIFY_SOCKET'];
      delete process.env['WATCHDOG_USEC'];
      folder.remove();
    }
  }, 300_000);
});

describe('the watchdog', () => {
  it('hears nothing of a server that does not answer as it must', async () => {
    const { service, socket, troubles } = await manager(300);
    service.watch(async () => false);
    await sleep(500);
    expect(socket.notices.slice(1)).toEqual([]);
    expect(troubles[0]).toBe('the server does not answer as it must; the watchdog is not told that it lives');
  });

  it('hears nothing of a server that does not answer at all', async () => {
    const { service, socket, troubles } = await manager(300);
    service.watch(() => new Promise(() => undefined));
    await sleep(700);
    expect(socket.notices.slice(1)).toEqual([]);
    expect(troubles[0]).toMatch(/^the server has not answered for 0 s/);
  });

  it('of another process is not fed', async () => {
    const small = createSmallPrograms();
    small.addRecording('systemd-notify');
    const env = { NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: '60000', WATCHDOG_PID: '1' };
    const service = createServiceManager({ runner: small.runner, env, onTrouble: () => undefined });
    service.watch(async () => true);
    await sleep(200);
    expect(small.calls()).toEqual([]);
    small.cleanup();
  });
});

describe('systemd-notify', () => {
  it('is not run where nobody listens', async () => {
    const small = createSmallPrograms();
    small.addRecording('systemd-notify');
    const env = { WATCHDOG_USEC: '60000' };
    const service = createServiceManager({ runner: small.runner, env, onTrouble: () => undefined });
    await service.ready('x');
    await service.reloading();
    await service.stopping();
    service.watch(async () => true);
    await sleep(200);
    expect(small.calls()).toEqual([]);
    small.cleanup();
  });

  it('that fails is trouble, not an end', async () => {
    const small = createSmallPrograms();
    small.add('systemd-notify', 'echo "no such socket" >&2; exit 1');
    const troubles: string[] = [];
    const service = createServiceManager({
      runner: small.runner,
      env: { NOTIFY_SOCKET: '/nowhere' },
      onTrouble: (what, thrown) => troubles.push(`${what}: ${(thrown as Error).message}`),
    });
    await service.ready('a\nSTATUS=b');
    expect(troubles).toEqual([
      'systemd cannot be told READY=1: systemd-notify failed (exit code 1): no such socket',
    ]);
    small.cleanup();
  });
});
